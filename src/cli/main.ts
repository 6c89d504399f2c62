#!/usr/bin/env node
import { runCommand } from './command.ts'
import { processIo } from './io.ts'

// The code is set, not forced: what is still to be written to a pipe gets out.
process.exitCode = await runCommand(process.argv.slice(2), processIo())
