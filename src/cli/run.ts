import { createWriteStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { run as runMesh, type Running } from '../control/run.ts'
import { streamSink, type LineWriter } from '../telemetry/access-log.ts'
import { describe } from './describe.ts'
import { exitCodes, type Io } from './io.ts'
import { mustExist } from './load.ts'
import { nodeProblem } from './node-version.ts'
import { stopSignal } from './signals.ts'
import { portOf, type PortChoice, type WorkloadName } from './usage.ts'

export interface RunVerbOptions {
  /** Undefined if neither `--watch` nor `--no-watch` was given: it is on. */
  readonly watch?: boolean
  readonly as: readonly (WorkloadName & { readonly port: number })[]
  readonly host: string
  readonly trustDomain: string
  readonly adminPort: PortChoice
  readonly metricsPort: PortChoice
  readonly readyPort: PortChoice
  readonly state?: string
  readonly controlSocket?: string
  /** A file, `-` or `none`. */
  readonly accessLog: string
}

export { describe } from './describe.ts'

/** Milliseconds that requests get to finish after the first signal. */
const drainMs = 30_000

/** `waymark run`: ends at a signal. */
export async function run(directory: string, options: RunVerbOptions, io: Io): Promise<number> {
  await mustExist(directory)
  const problem = nodeProblem(process.versions.node)
  if (problem !== undefined) {
    io.say(`waymark run: can not start: ${problem}`)
    return exitCodes.failed
  }
  const stop = stopSignal()
  try {
    return await runUntil(stop.first, directory, options, io)
  } finally {
    stop.release()
  }
}

async function runUntil(stopped: Promise<void>, directory: string, options: RunVerbOptions, io: Io): Promise<number> {
  let running: Running
  try {
    running = await runMesh({
      directory, watch: options.watch !== false, entries: options.as, host: options.host, trustDomain: options.trustDomain,
      adminPort: portOf(options.adminPort), metricsPort: portOf(options.metricsPort), readyPort: portOf(options.readyPort),
      stateDirectory: options.state, controlSocket: options.controlSocket,
      accessLog: await openAccessLog(options.accessLog, io.say),
      log: io.say,
    })
  } catch (error) {
    io.say(`waymark run: can not start: ${describe(error)}`)
    return exitCodes.failed
  }
  for (const line of running.summary()) io.say(line)
  io.say(`ready: the mesh of ${directory} runs; end it with Ctrl-C`)
  await stopped
  io.say('stopping: what is on its way may finish; a second signal ends it at once')
  await running.close(drainMs)
  return exitCodes.fine
}

async function openAccessLog(where: string, say: (line: string) => void): Promise<LineWriter | undefined> {
  if (where === 'none') return undefined
  if (where === '-') return streamSink(process.stdout).write
  // Opened here, so that a path that can't be written to is known at the start.
  const file = await open(where, 'a').catch((error: unknown) => {
    throw new Error(`the access log can not be written (${describe(error)}); choose another file with --access-log`)
  })
  const stream = createWriteStream('', { fd: file })
  // A full disk must not end the mesh.
  stream.on('error', (error) => say(`the access log ends: ${error.message}`))
  return streamSink(stream).write
}
