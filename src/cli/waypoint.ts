import { startWaypoint, type Waypoint } from '../../waypoint/waypoint.ts'
import { listening } from '../control/listening.ts'
import { systemClock } from '../kit/clock.ts'
import { createReadiness } from '../kit/ready.ts'
import { namespacedName } from '../model/refs.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { joinMesh } from '../publish/join.ts'
import { streamSink } from '../telemetry/access-log.ts'
import { tracingConfig } from '../telemetry/config.ts'
import { createTelemetry } from '../telemetry/create.ts'
import { buildInfo, createMetrics } from '../telemetry/metrics.ts'
import { json, probePages, serveStatus } from '../telemetry/server.ts'
import { startTracing } from '../telemetry/tracing.ts'
import { describe } from './describe.ts'
import { exitCodes, type Io } from './io.ts'
import { controllerIdOf, type MemberOptions } from './member.ts'
import { nodeProblem } from './node-version.ts'
import { stopSignal } from './signals.ts'
import { portOf, type PortChoice } from './usage.ts'
import { versions } from './version.ts'

export interface WaypointVerbOptions extends MemberOptions {
  readonly namespace: string
  readonly name: string
  readonly pod: string
  readonly accessLog: 'none' | 'json'
  /** Seconds. */
  readonly drain: number
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
    await serve(options, io, stop.first, closers)
    return exitCodes.fine
  } catch (error) {
    if (error instanceof Stopped) return exitCodes.fine
    io.say(`waymark waypoint: can not start: ${describe(error)}`)
    return exitCodes.failed
  } finally {
    for (const close of closers.reverse()) await close()
    stop.release()
  }
}

/** A signal came before there was anything to drain. */
class Stopped extends Error {}

async function serve(options: WaypointVerbOptions, io: Io, stopped: Promise<void>, closers: (() => unknown)[]): Promise<void> {
  const { namespace, name, pod, host, trustDomain } = options
  const clock = systemClock
  const key = namespacedName(namespace, name)
  const readiness = createReadiness()
  const certified = readiness.register('certificate', 'no controller has answered yet, and none is kept from before')
  const configured = readiness.register('configuration', 'no controller has answered yet, and none is kept from before')
  const metrics = createMetrics(clock.now, { process: true })
  const tracingFrom = tracingConfig()
  const tracing = tracingFrom === undefined ? undefined : await startTracing(tracingFrom)
  closers.push(() => tracing?.close())
  const open = async (what: string, choice: PortChoice, at: string, option: string, pages: Parameters<typeof serveStatus>[1]): Promise<void> => {
    const port = portOf(choice)
    if (port === undefined) return
    // Probes and scrapes come by the pod's or a Service's name; the admin pages stay on loopback, under its own names.
    const server = await listening(what, `port ${port}`, option, () => serveStatus({ host: at, port, anyName: option !== '--admin-port' }, pages))
    closers.push(server.close)
  }
  // Open before anything else: a pod that waits for a controller must be able to say so.
  await open('readiness', options.readyPort, host, '--ready-port', probePages(readiness.pending))

  const started: { waypoint?: Waypoint } = {}
  let snapshot: Snapshot | undefined
  const giveUp = new AbortController()
  void stopped.then(() => giveUp.abort(new Stopped()))
  const member = await joinMesh({
    controller: options.controller, controllerId: controllerIdOf(options), tokenFile: options.tokenFile, bundleFile: options.bundleFile,
    stateDirectory: options.state, identity: { trustDomain, namespace, serviceAccount: name }, subscriber: { kind: 'waypoint', namespace }, pod,
    clock, signal: giveUp.signal,
    onSnapshot: (next) => {
      snapshot = next
      started.waypoint?.configure(next)
      if (started.waypoint !== undefined) configured.ready()
    },
    onTrouble: io.say,
  })
  closers.push(() => member.close())
  certified.ready()
  const port = portOf(options.hbonePort) ?? 0
  const running = await listening('the mesh listener', `port ${port}`, '--hbone-port', () => startWaypoint({
    namespace, name, credentials: member.credentials, trustDomain, host, port, clock,
    telemetry: createTelemetry(key, { metrics, tracing, accessLog: options.accessLog === 'json' ? streamSink(process.stdout).write : undefined }),
    limits: { drainMs: options.drain * 1000 },
  }))
  started.waypoint = running
  closers.push(() => running.close())
  if (snapshot !== undefined) {
    running.configure(snapshot)
    configured.ready()
  }
  registerMember(metrics, key, member)
  await open('metrics', options.metricsPort, host, '--metrics-port', {
    '/metrics': async () => ({ status: 200, contentType: metrics.contentType, body: await metrics.render() }),
  })
  await open('admin', options.adminPort, '127.0.0.1', '--admin-port', {
    '/snapshot': () => json(Object.fromEntries(snapshot ?? [])),
    '/controller': () => json({ connected: member.connected(), staleMs: member.staleMs(), source: member.source() }),
  })
  io.say(`waypoint ${key} on ${running.address.host}:${running.address.port}`)
  await stopped
  // Not ready first: whoever looks at readiness sends nothing new, and what is in flight gets its time.
  configured.notReady('the waypoint is being stopped')
  io.say('stopping: what is in flight may finish; a second signal ends it at once')
  await running.drain()
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
