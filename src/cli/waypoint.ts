import { listening } from '../control/listening.ts'
import { systemClock } from '../kit/clock.ts'
import { createReadiness } from '../kit/ready.ts'
import type { AccessLogLevel, LogLevel } from '../model/infra.ts'
import { namespacedName } from '../model/refs.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { joinMesh } from '../publish/join.ts'
import { createLog } from '../telemetry/log.ts'
import { buildInfo, createMetrics } from '../telemetry/metrics.ts'
import { json, probePages, serveStatus } from '../telemetry/server.ts'
import { tapPage } from '../telemetry/tap-page.ts'
import { describe } from './describe.ts'
import { exitCodes, type Io } from './io.ts'
import { controllerIdOf, type MemberOptions } from './member.ts'
import { nodeProblem } from './node-version.ts'
import { stopSignal } from './signals.ts'
import { portOf, type PortChoice } from './usage.ts'
import { versions } from './version.ts'
import { startDataPlane, type DataPlane } from './waypoint-data-plane.ts'

export interface WaypointVerbOptions extends MemberOptions {
  readonly namespace: string
  readonly name: string
  readonly pod: string
  /** Threads that serve. */
  readonly workers: number
  readonly accessLog: AccessLogLevel
  readonly logLevel: LogLevel
  /** Seconds. */
  readonly drain: number
  readonly linger: number
  readonly host: string
  readonly hbonePort: PortChoice
  readonly adminPort: PortChoice
  readonly metricsPort: PortChoice
  readonly readyPort: PortChoice
}

/** `waymark waypoint`: ends at a signal, after what is in flight. */
export async function waypoint(options: WaypointVerbOptions, io: Io): Promise<number> {
  const problem = nodeProblem(process.versions.node)
  if (problem !== undefined) {
    io.say(`waymark waypoint: can not start: ${problem}`)
    return exitCodes.failed
  }
  const stop = stopSignal()
  const closers: (() => unknown)[] = []
  try {
    return await serve(options, io, stop.first, closers)
  } catch (error) {
    if (error instanceof Stopped) return exitCodes.fine
    io.say(`waymark waypoint: can not start: ${describe(error)}`)
    return exitCodes.failed
  } finally {
    for (const close of closers.reverse()) await close()
    stop.release()
  }
}

/** Pages, and those without an end. */
type PagesOf = Parameters<typeof serveStatus> extends [unknown, ...infer Rest] ? Rest : never

/** A signal came before there was anything to drain. */
class Stopped extends Error {}

async function serve(options: WaypointVerbOptions, io: Io, stopped: Promise<void>, closers: (() => unknown)[]): Promise<number> {
  const { namespace, name, pod, host, trustDomain } = options
  const clock = systemClock
  const log = createLog(options.logLevel, io.say)
  const key = namespacedName(namespace, name)
  const readiness = createReadiness()
  const certified = readiness.register('certificate', 'no controller has answered yet, and none is kept from before')
  const configured = readiness.register('configuration', 'no controller has answered yet, and none is kept from before')
  const started: { plane?: DataPlane } = {}
  const metrics = createMetrics(clock.now, { process: true, others: () => started.plane?.counts() ?? Promise.resolve([]) })
  const open = async (what: string, choice: PortChoice, at: string, option: string, ...pages: PagesOf): Promise<void> => {
    const port = portOf(choice)
    if (port === undefined) return
    // Probes and scrapes come by the pod's or a Service's name; the admin pages stay on loopback, under its own names.
    const server = await listening(what, `port ${port}`, option, () => serveStatus({ host: at, port, anyName: option !== '--admin-port' }, ...pages))
    closers.push(server.close)
  }
  // Open before anything else: a pod that waits for a controller must be able to say so.
  await open('readiness', options.readyPort, host, '--ready-port', probePages(readiness.pending))

  let snapshot: Snapshot = new Map()
  const first = Promise.withResolvers<undefined>()
  const giveUp = new AbortController()
  void stopped.then(() => giveUp.abort(new Stopped()))
  const member = await joinMesh({
    controller: options.controller, controllerId: controllerIdOf(options), tokenFile: options.tokenFile, bundleFile: options.bundleFile,
    stateDirectory: options.state, identity: { trustDomain, namespace, serviceAccount: name }, subscriber: { kind: 'waypoint', namespace }, pod,
    clock, signal: giveUp.signal,
    onSnapshot: (next) => {
      snapshot = next
      log.debug?.(`a configuration of ${next.size} entries`)
      // What comes before anything serves is in force as soon as that does.
      return started.plane === undefined ? first.promise : started.plane.configure(next)
    },
    onTrouble: log.error,
  })
  closers.push(() => member.close())
  closers.push(member.credentials.onChange(({ notAfterMs, trustBundlePem }) =>
    log.debug?.(`a certificate until ${new Date(notAfterMs).toISOString()}, or a trust bundle of ${trustBundlePem.length} roots`)))
  certified.ready()
  const port = portOf(options.hbonePort) ?? 0
  const begun = snapshot
  const plane = await listening('the mesh listener', `port ${port}`, '--hbone-port', () => startDataPlane({
    workers: options.workers, namespace, name, credentials: member.credentials, trustDomain, host, port, clock, log, metrics, snapshot: begun,
    accessLog: options.accessLog, drainMs: options.drain * 1000,
    onListening: (threads) => (threads === 0 ? configured.notReady('no worker listens') : configured.ready()),
  }))
  started.plane = plane
  closers.push(() => plane.close())
  // What came meanwhile.
  if (snapshot !== begun) await plane.configure(snapshot)
  first.resolve(undefined)
  configured.ready()
  registerMember(metrics, key, member)
  await open('metrics', options.metricsPort, host, '--metrics-port', {
    '/metrics': async () => ({ status: 200, contentType: metrics.contentType, body: await metrics.render() }),
  })
  await open('admin', options.adminPort, '127.0.0.1', '--admin-port', {
    '/snapshot': () => json(Object.fromEntries(snapshot)),
    '/controller': () => json({ connected: member.connected(), staleMs: member.staleMs(), source: member.source() }),
  }, { '/tap': tapPage(plane.tap, clock, `waypoint ${pod}`) })
  log.info(`waypoint ${key} on ${plane.address.host}:${plane.address.port}${options.workers > 1 ? `, ${options.workers} workers` : ''}`)
  const failure = await Promise.race([stopped, plane.failed])
  if (failure !== undefined) log.error(`waymark waypoint: can not go on: ${failure.message}`)
  // Not ready first: whoever looks at readiness sends nothing new, and what is in flight gets its time.
  configured.notReady('the waypoint is being stopped')
  log.info('stopping: what is in flight may finish; a second signal ends it at once')
  // Callers know by now or within a moment: whoever has not heard yet is served.
  if (failure === undefined && options.linger > 0) await new Promise<void>((resolve) => void clock.after(options.linger * 1000, resolve))
  await plane.drain()
  return failure === undefined ? exitCodes.fine : exitCodes.failed
}

function registerMember(metrics: ReturnType<typeof createMetrics>, waypoint: string, member: Awaited<ReturnType<typeof joinMesh>>): void {
  const labels = { waypoint }
  metrics.register(buildInfo(versions().version))
  metrics.register({
    name: 'waymark_controller_connected', help: 'Whether a controller serves this process now.', type: 'gauge',
    values: () => [{ labels, value: member.connected() ? 1 : 0 }],
  })
  metrics.register({
    name: 'waymark_controller_silence_seconds', help: 'Time since the last word of a controller: how old the configuration may be.', type: 'gauge',
    values: () => [{ labels, value: member.staleMs() / 1000 }],
  })
}
