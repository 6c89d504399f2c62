import { stat, unlink } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { formatProblem } from '../api/problem.ts'
import { createReadiness } from '../kit/ready.ts'
import { systemClock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import { formatSpiffeId } from '../model/identity.ts'
import { loadFolder } from '../sources/files/load.ts'
import { watchFolder } from '../sources/files/watch.ts'
import type { LineWriter } from '../telemetry/access-log.ts'
import { tracingConfig } from '../telemetry/config.ts'
import { createTelemetry } from '../telemetry/create.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { json, probePages, serveStatus, type StatusServer } from '../telemetry/server.ts'
import { startTracing } from '../telemetry/tracing.ts'
import { listening } from './listening.ts'
import { startStandalone, type EntryRequest, type Standalone } from './standalone.ts'

export interface RunOptions {
  readonly directory: string
  /** Takes changes of the folder over as they happen. */
  readonly watch: boolean
  readonly entries: readonly EntryRequest[]
  readonly host: string
  readonly trustDomain: string
  /** Undefined: off; 0: any. Always on `host`. */
  readonly adminPort?: number | undefined
  readonly metricsPort?: number | undefined
  readonly readyPort?: number | undefined
  readonly stateDirectory?: string | undefined
  /** Unix socket on which `connect` gets configuration and certificates; whoever may open it may act as any identity. */
  readonly controlSocket?: string | undefined
  readonly accessLog?: LineWriter | undefined
  /** One line for a person. */
  readonly log: (line: string) => void
}

/** A running mesh. */
export interface Running extends Pick<Standalone, 'waypoints' | 'entries' | 'ca' | 'snapshot' | 'statuses' | 'troubles'> {
  /** What listens where, a line each. */
  readonly summary: () => readonly string[]
  /** Lets what is on its way finish, at most `deadlineMs`. */
  readonly close: (deadlineMs: number) => Promise<void>
}

/**
 * Runs the mesh of a folder in this process.
 * @throws {ListenError} if a port is taken
 * @throws if the folder can't be read at the start, or the CA's state is not whole
 */
export async function run(options: RunOptions): Promise<Running> {
  const { host, log } = options
  const clock = systemClock
  const readiness = createReadiness()
  const metrics = createMetrics(clock.now, { process: true })
  const tracingFrom = tracingConfig()
  const tracing = tracingFrom === undefined ? undefined : await startTracing(tracingFrom)
  const closers: (() => Promise<unknown>)[] = []
  const first = await loadFolder(options.directory)
  if (!first.readable) throw new Error(first.problems.map(formatProblem).join('\n'))

  try {
    const mesh = await startStandalone({
      trustDomain: options.trustDomain, host, entries: options.entries, clock, readiness, log,
      ...(options.stateDirectory === undefined ? {} : { stateDirectory: options.stateDirectory }),
      telemetry: (waypoint) => createTelemetry(waypoint, { metrics, tracing, accessLog: options.accessLog }),
    })
    closers.push(async () => tracing?.close())
    closers.push(() => mesh.close(0))
    const servers = new Map<string, StatusServer>()
    const open = async (name: string, port: number | undefined, option: string, pages: Parameters<typeof serveStatus>[1]): Promise<void> => {
      if (port === undefined) return
      const server = await listening(name, `port ${port}`, option, () => serveStatus({ host, port }, pages))
      servers.set(name, server)
      closers.push(server.close)
    }
    await open('readiness', options.readyPort, '--ready-port', probePages(readiness.pending))
    await open('metrics', options.metricsPort, '--metrics-port', {
      '/metrics': async () => ({ status: 200, contentType: metrics.contentType, body: await metrics.render() }),
    })
    await open('admin', options.adminPort, '--admin-port', {
      '/snapshot': () => json(Object.fromEntries(mesh.snapshot())),
      '/statuses': () => json(mesh.statuses()),
      '/troubles': () => json(mesh.troubles()),
      '/ca': () => json(mesh.ca.rotation()),
    })
    if (options.controlSocket !== undefined) closers.push(await listenControl(options.controlSocket, mesh))
    await mesh.update(first)
    if (options.watch) {
      const watcher = watchFolder(options.directory, {
        clock, from: first,
        onChange: (loaded) => {
          mesh.update(loaded).catch((error: unknown) => log(`the change could not be taken over: ${messageOf(error)}`))
        },
      })
      closers.push(async () => {
        watcher.close()
        return Promise.resolve()
      })
    }
    return {
      ...mesh,
      summary: () => [
        ...mesh.waypoints().map(({ key, address }) => `waypoint ${key} on ${address.host}:${address.port}`),
        ...mesh.entries().map(({ identity, address }) => `entry of ${formatSpiffeId(identity)} on ${address.host}:${address.port}`),
        ...[...servers].map(([name, { address }]) => `${name} on http://${address.host}:${address.port}`),
        ...(options.controlSocket === undefined ? [] : [`control socket on ${options.controlSocket}`]),
      ],
      close: async (deadlineMs) => {
        await mesh.close(deadlineMs)
        await closeAll(closers)
      },
    }
  } catch (error) {
    await closeAll(closers)
    throw error
  }
}

async function closeAll(closers: readonly (() => Promise<unknown>)[]): Promise<void> {
  await Promise.allSettled([...closers].reverse().map((close) => close()))
}

/** Serves other processes of this machine; the socket's mode keeps other users out. */
async function listenControl(path: string, mesh: Standalone): Promise<() => Promise<void>> {
  const server: Server = createServer((socket) => mesh.serve(socket))
  await removeStaleSocket(path)
  await listening('the control socket', path, '--control-socket', () =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      // The socket must never be open to others, not even until its mode is changed.
      const before = process.umask(0o177)
      server.listen(path, () => resolve())
      process.umask(before)
    }),
  )
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve())
    })
}

/** A socket that a killed process left is in the way of the next; one that answers is somebody's. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isSocket() !== true) return
  const answers = await new Promise<boolean>((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
  if (!answers) await unlink(path)
}
