#!/usr/bin/env node
import { processIo } from './io.ts'

/** Milliseconds that closing connections get after the verb is done. */
const lingerMs = 2_000

const io = processIo()
const args = process.argv.slice(2)
// Asked by probes and scripts: it need not wait until the definitions of all verbs are loaded.
const onlyVersion = args.length === 1 && args[0] === 'version'
// The code is set, not forced: what is still to be written to a pipe gets out.
process.exitCode = onlyVersion
  ? await (await import('./version.ts')).version({ output: 'table' }, io)
  : await (await import('./command.ts')).runCommand(args, io)
// Nothing that was forgotten may keep a finished command alive, and the timer does not either; but what a slow reader (a pager) has not taken yet does.
setTimeout(() => process.stdout.write('', () => process.exit()), lingerMs).unref()
