import { rm, utimes, writeFile } from 'node:fs/promises'
import { systemClock, type Cancel } from '../kit/clock.ts'
import type { UnknownDestinations } from '../model/destination.ts'
import type { AccessLogLevel, LogLevel } from '../model/infra.ts'
import { install } from '../model/install.ts'
import { startAgent, type Agent, type NodePaths } from '../node/agent.ts'
import { dumpOf } from '../node/dump.ts'
import { startPlane, type NodePlane } from '../node/node-plane.ts'
import { retireNode } from '../node/retire.ts'
import { registerConnections } from '../telemetry/connection-counters.ts'
import { createLog, type Log } from '../telemetry/log.ts'
import { buildInfo, createMetrics, type Metrics } from '../telemetry/metrics.ts'
import { json, serveStatus, type StatusServer } from '../telemetry/server.ts'
import { tapPage } from '../telemetry/tap-page.ts'
import { describe } from './describe.ts'
import { exitCodes, type Io } from './io.ts'
import { controllerIdOf, type MemberOptions } from './member.ts'
import { nodeProblem } from './node-version.ts'
import { stopSignal } from './signals.ts'
import { portOf, type PortChoice } from './usage.ts'
import { versions } from './version.ts'
import { registerWorkers } from './worker-metrics.ts'

export interface AgentVerbOptions extends MemberOptions {
  readonly node: string
  readonly pod: string
  readonly namespace: string
  readonly netns: string
  readonly cniResults: string
  readonly hostProc: string
  readonly hostDir: string
  readonly hostDirOnNode: string
  readonly cniConf: string
  readonly cniBin: string
  readonly cniPlugin: boolean
  readonly retire: boolean
  readonly unknownDestinations: UnknownDestinations
  /** Threads that carry connections. */
  readonly workers: number
  readonly accessLog: AccessLogLevel
  readonly logLevel: LogLevel
  /** Seconds. */
  readonly drain: number
  readonly readyFile?: string
  readonly adminPort: PortChoice
  readonly metricsPort: PortChoice
}

/** Two agents of a node are there while one replaces the other: the second takes the ports when the first has gone. Milliseconds. */
const portPauseMs = 2_000
/** How often the ready file is touched, milliseconds: a process that hangs stops being ready. */
const touchMs = 5_000

/** `waymark agent`: captures the pods of one node; ends at a signal, after the connections that are there. */
export async function agent(options: AgentVerbOptions, io: Io): Promise<number> {
  const problem = nodeProblem(process.versions.node)
  if (problem !== undefined) {
    io.say(`waymark agent: can not start: ${problem}`)
    return exitCodes.failed
  }
  const stop = stopSignal()
  const closers: (() => unknown)[] = []
  try {
    const log = createLog(options.logLevel, io.say)
    return await (options.retire ? retire(options, log, stop.first, closers) : serve(options, log, stop.first, closers))
  } catch (error) {
    if (error instanceof Stopped) return exitCodes.fine
    io.say(`waymark agent: can not start: ${describe(error)}`)
    return exitCodes.failed
  } finally {
    for (const close of closers.reverse()) await close()
    stop.release()
  }
}

/** A signal came before there was anything to drain. */
class Stopped extends Error {}

async function serve(options: AgentVerbOptions, log: Log, stopped: Promise<void>, closers: (() => unknown)[]): Promise<number> {
  const { node, trustDomain, namespace } = options
  const clock = systemClock
  const startedMs = clock.now()
  const giveUp = new AbortController()
  void stopped.then(() => giveUp.abort(new Stopped()))
  const plane = await startPlane({ workers: options.workers, node, unknown: options.unknownDestinations, accessLog: options.accessLog, clock, log })
  closers.push(() => plane.close())
  const ready = createReadyFile(options.readyFile, log)
  closers.push(ready.remove)
  const started = await startAgent({
    node, identity: { trustDomain, namespace, serviceAccount: install.agent }, clock, log: log.error, signal: giveUp.signal, plane,
    paths: pathsOf(options),
    join: {
      controller: options.controller, controllerId: controllerIdOf(options), tokenFile: options.tokenFile, bundleFile: options.bundleFile,
      stateDirectory: options.state, pod: options.pod,
    },
    onSettled: () => {
      ready.keep()
      log.info(`agent of node ${node}: every pod that shall be captured is, or says why not`)
    },
  })
  closers.push(() => started.close())
  const metrics = createMetrics(clock.now, { process: true })
  register(metrics, node, started, plane)
  closers.push(
    openWhenFree(options.metricsPort, '0.0.0.0', log, {
      '/metrics': async () => {
        await plane.refresh()
        return { status: 200, contentType: metrics.contentType, body: await metrics.render() }
      },
    }),
    openWhenFree(options.adminPort, '127.0.0.1', log, {
      '/dump': async () => {
        await plane.refresh()
        return json(dumpOf(started, { node, pod: options.pod, version: versions().version, nowMs: clock.now(), startedMs }))
      },
      '/pods': () => json(started.manager.pods()),
      '/plugin': () => json({ problem: started.pluginProblem() }),
      '/identities': () => json(started.identities.list()),
      '/snapshot': () => json(Object.fromEntries(started.snapshot())),
      '/controller': () => json({ connected: started.member.connected(), staleMs: started.member.staleMs(), source: started.member.source() }),
    }, { '/tap': tapPage(plane.tap, clock, `agent ${options.pod}`) }),
  )
  log.info(`agent of node ${node}${options.workers > 1 ? `, ${options.workers} workers` : ''}`)
  const failure = await Promise.race([stopped, plane.failed])
  await ready.remove()
  if (failure !== undefined) {
    log.error(`waymark agent: can not go on: ${failure.message}`)
    return exitCodes.failed
  }
  log.info('stopping: connections may end by themselves, and pods stay captured; a second signal ends it at once')
  await started.drain(options.drain * 1000)
  return exitCodes.fine
}

function pathsOf(options: AgentVerbOptions): NodePaths {
  const plugin = { configurations: options.cniConf, binaries: options.cniBin, hostOnNode: options.hostDirOnNode }
  return { namespaces: options.netns, results: options.cniResults, proc: options.hostProc, host: options.hostDir, ...(options.cniPlugin ? { plugin } : {}) }
}

/** `--retire`: captures nothing, and takes away what agents have left on the node, until it is ended. */
async function retire(options: AgentVerbOptions, log: Log, stopped: Promise<void>, closers: (() => unknown)[]): Promise<number> {
  const ready = createReadyFile(options.readyFile, log)
  closers.push(ready.remove)
  let told: number | undefined
  closers.push(await retireNode({
    paths: pathsOf(options), clock: systemClock, graceMs: options.drain * 1000, log: log.error,
    onLook: (left) => {
      if (told === undefined) ready.keep()
      if (left !== told) log.info(left === 0 ? `nothing of the mesh is left on node ${options.node}` : `pods of node ${options.node} that still have rules: ${left}`)
      told = left
    },
  }))
  await stopped
  return exitCodes.fine
}

function register(metrics: Metrics, node: string, { member, manager, identities }: Agent, plane: NodePlane): void {
  const labels = { node }
  const gauge = (name: string, help: string, value: () => number): void => metrics.register({ name, help, type: 'gauge', values: () => [{ labels, value: value() }] })
  metrics.register(buildInfo(versions().version))
  registerConnections(metrics, plane.counts)
  if (plane.threads !== undefined) registerWorkers(metrics, labels, plane.threads)
  gauge('waymark_controller_connected', 'Whether a controller serves this process now.', () => (member.connected() ? 1 : 0))
  gauge('waymark_controller_silence_seconds', 'Time since the last word of a controller: how old the configuration may be.', () => member.staleMs() / 1000)
  gauge('waymark_agent_identities', 'Service accounts whose certificates the agent holds.', () => identities.list().length)
  metrics.register({
    name: 'waymark_agent_pods', help: 'Pods of the node that are or shall be captured, by state.', type: 'gauge',
    values: () => Object.entries(Object.groupBy(manager.pods(), ({ state }) => state)).map(([state, pods]) => ({ labels: { ...labels, state }, value: pods.length })),
  })
  metrics.register({
    name: 'waymark_agent_repairs_total', help: 'What was put back that somebody in a pod, or on the node, had taken away: rules or listeners of pods, rules of the node.', type: 'counter',
    values: () => Object.entries<number>({ ...manager.repairs() }).map(([what, value]) => ({ labels: { ...labels, what }, value })),
  })
}

interface ReadyFile {
  /** It is there from now on, and fresh while this process is alive. */
  readonly keep: () => void
  readonly remove: () => Promise<void>
}

/** A file in place of a port: two agents of one node can not share a port, and each has its own readiness. */
function createReadyFile(path: string | undefined, log: Log): ReadyFile {
  let cancel: Cancel = () => {}
  let removed = false
  const touch = async (): Promise<void> => {
    if (path === undefined || removed) return
    try {
      const now = new Date()
      await utimes(path, now, now).catch(() => writeFile(path, ''))
    } catch (error) {
      log.error(`the file ${path} that says that this process is ready: ${describe(error)}`)
    }
    cancel = systemClock.after(touchMs, () => void touch())
  }
  return {
    keep: () => void touch(),
    remove: async () => {
      removed = true
      cancel()
      if (path !== undefined) await rm(path, { force: true })
    },
  }
}

/** Opens pages on a port, as soon as nobody else has it. @returns what closes them */
function openWhenFree(choice: PortChoice, host: string, log: Log, pages: Parameters<typeof serveStatus>[1], streams: Parameters<typeof serveStatus>[2] = {}): () => Promise<void> {
  const port = portOf(choice)
  let server: StatusServer | undefined
  let cancel: Cancel = () => {}
  let closed = false
  const attempt = async (): Promise<void> => {
    if (port === undefined || closed) return
    try {
      server = await serveStatus({ host, port, anyName: host === '0.0.0.0' }, pages, streams)
    } catch (error) {
      log.debug?.(`port ${port}: ${describe(error)}; it is tried again`)
      cancel = systemClock.after(portPauseMs, () => void attempt())
    }
  }
  const first = attempt()
  return async () => {
    closed = true
    cancel()
    await first
    await server?.close()
  }
}
