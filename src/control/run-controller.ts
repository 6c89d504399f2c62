import type { Installation } from '../infra/installation.ts'
import { backoffMs } from '../kit/backoff.ts'
import { systemClock } from '../kit/clock.ts'
import { createReadiness } from '../kit/ready.ts'
import { createKubeClient } from '../kube/client.ts'
import { KubeError } from '../kube/errors.ts'
import { buildInfo, createMetrics } from '../telemetry/metrics.ts'
import { json, probePages, serveStatus } from '../telemetry/server.ts'
import { controllerCounters } from './controller-metrics.ts'
import { startController, type Controller } from './controller.ts'
import { listening } from './listening.ts'

export interface RunControllerOptions {
  /** Of this program, for the metric `waymark_build_info`. */
  readonly version?: string | undefined
  /** Reads the kubeconfig or what the pod was given; again when it is refused. */
  readonly kubeConfig: Parameters<typeof createKubeClient>[0]
  readonly pod: string
  readonly podIp?: string | undefined
  readonly installation: Installation
  readonly svidLifetimeMs: number
  readonly ownCaSecret?: string | undefined
  readonly nodeAgent?: boolean
  readonly host: string
  readonly controlPort: number
  /** Undefined: off; 0: any. The admin port is always on loopback. */
  readonly adminPort?: number | undefined
  readonly metricsPort?: number | undefined
  readonly readyPort?: number | undefined
  /** Gives up the wait for the API server. */
  readonly stopped: Promise<void>
  /** One line for a person. */
  readonly log: (line: string) => void
}

export interface RunningController extends Controller {
  /** What listens where, a line each. */
  readonly summary: () => readonly string[]
}

/**
 * Runs a controller with its pages in this process. An API server that does not answer, or does not allow what is needed, is tried again; `/readyz` says so meanwhile.
 * @returns undefined if it was stopped before it could start
 * @throws {ListenError} if a port is taken
 * @throws {CaError} if the CA is not whole
 */
export async function runController(options: RunControllerOptions): Promise<RunningController | undefined> {
  const { host, log } = options
  const clock = systemClock
  const readiness = createReadiness()
  const metrics = createMetrics(clock.now, { process: true })
  const { version } = options
  if (version !== undefined) metrics.register(buildInfo(version))
  // Once, however often the start is tried: a metric can not be registered twice.
  const counters = controllerCounters(metrics, clock.now)
  const client = createKubeClient(options.kubeConfig)
  const lines: string[] = []
  const closers: (() => unknown)[] = [client.close]
  let controller: Controller | undefined
  const open = async (what: string, port: number | undefined, at: string, option: string, pages: Parameters<typeof serveStatus>[1]): Promise<void> => {
    if (port === undefined) return
    const server = await listening(what, `port ${port}`, option, () => serveStatus({ host: at, port, anyName: option !== '--admin-port' }, pages))
    lines.push(`${what} on ${server.address.host}:${server.address.port}`)
    closers.push(server.close)
  }
  try {
    await open('readiness', options.readyPort, host, '--ready-port', probePages(readiness.pending, readiness.notes))
    await open('metrics', options.metricsPort, host, '--metrics-port', {
      '/metrics': async () => ({ status: 200, contentType: metrics.contentType, body: await metrics.render() }),
    })
    await open('admin', options.adminPort, '127.0.0.1', '--admin-port', {
      '/snapshot': () => json(Object.fromEntries(controller?.snapshot() ?? [])),
      '/statuses': () => json(controller?.statuses() ?? []),
      '/troubles': () => json(controller?.troubles() ?? []),
      '/ca': () => json(controller?.ca.info() ?? {}),
      '/subscribers': () => json(controller?.control.acknowledgements() ?? []),
    })
    controller = await whenAnswered(() => startController({
      client, clock, readiness, pod: options.pod, podIp: options.podIp, installation: options.installation, svidLifetimeMs: options.svidLifetimeMs,
      ownCaSecret: options.ownCaSecret, nodeAgent: options.nodeAgent ?? false, host, port: options.controlPort, counters, log,
    }), options, readiness.register('API server', 'it has not been asked yet'))
    if (controller === undefined) {
      for (const close of closers.reverse()) await close()
      return undefined
    }
    const running = controller
    const { address } = running.control
    return {
      ...running,
      summary: () => [...lines, `configuration and certificates on ${address.host}:${address.port}`],
      close: async () => {
        await running.close()
        for (const close of closers.reverse()) await close()
      },
    }
  } catch (error) {
    for (const close of closers.reverse()) await close()
    throw error
  }
}

/** Tries again while the API server does not answer or refuses; everything else is thrown. */
async function whenAnswered<T>(start: () => Promise<T>, { log, stopped }: RunControllerOptions, ready: { ready: () => void; notReady: (why: string) => void }): Promise<T | undefined> {
  let isStopped = false
  void stopped.then(() => (isStopped = true))
  const over = (): boolean => isStopped
  for (let failures = 1; !over(); failures++) {
    try {
      const started = await start()
      ready.ready()
      return started
    } catch (error) {
      if (!(error instanceof KubeError)) throw error
      const why = `${error.message}${advice(error)}`
      ready.notReady(why)
      log(`the API server does not serve this controller: ${why}; trying again`)
      const { promise, resolve } = Promise.withResolvers<undefined>()
      const cancel = systemClock.after(backoffMs(failures, { baseMs: 500, maxMs: 10_000, random: Math.random }), () => resolve(undefined))
      await Promise.race([promise, stopped])
      cancel()
    }
  }
  return undefined
}

function advice({ status }: KubeError): string {
  if (status === 403) return '; its service account lacks a right: install again, or compare with docs/rbac.md'
  if (status === 401) return '; its service account\'s token is refused: does the pod run as the service account that was installed?'
  return ''
}
