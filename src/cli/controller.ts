import { runController } from '../control/run-controller.ts'
import { loadKubeConfig } from '../kube/config.ts'
import type { AccessLogLevel } from '../model/infra.ts'
import { describe } from './describe.ts'
import { exitCodes, type Io } from './io.ts'
import { nodeProblem } from './node-version.ts'
import { stopSignal } from './signals.ts'
import { portOf, type PortChoice } from './usage.ts'
import { versions } from './version.ts'

export interface ControllerVerbOptions {
  readonly namespace: string
  readonly pod: string
  readonly podIp?: string
  readonly image: string
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never'
  readonly imagePullSecret: readonly string[]
  readonly trustDomain: string
  /** Seconds. */
  readonly svidLifetime: number
  readonly ownCaSecret?: string
  readonly nodeAgent: boolean
  readonly accessLog: AccessLogLevel
  readonly otlpEndpoint?: string
  readonly host: string
  readonly controlPort: PortChoice
  readonly adminPort: PortChoice
  readonly metricsPort: PortChoice
  readonly readyPort: PortChoice
}

/** `waymark controller`: ends at a signal. */
export async function controller(options: ControllerVerbOptions, io: Io): Promise<number> {
  const problem = nodeProblem(process.versions.node)
  if (problem !== undefined) {
    io.say(`waymark controller: can not start: ${problem}`)
    return exitCodes.failed
  }
  const stop = stopSignal()
  try {
    const running = await runController({
      version: versions().version, kubeConfig: loadKubeConfig, pod: options.pod, podIp: options.podIp, host: options.host,
      installation: {
        namespace: options.namespace, trustDomain: options.trustDomain, image: options.image, imagePullPolicy: options.imagePullPolicy,
        imagePullSecrets: options.imagePullSecret, accessLog: options.accessLog, otlpEndpoint: options.otlpEndpoint,
      },
      svidLifetimeMs: options.svidLifetime * 1000, ownCaSecret: options.ownCaSecret, nodeAgent: options.nodeAgent,
      controlPort: portOf(options.controlPort) ?? 0, adminPort: portOf(options.adminPort), metricsPort: portOf(options.metricsPort), readyPort: portOf(options.readyPort),
      stopped: stop.first, log: io.say,
    })
    if (running === undefined) return exitCodes.fine
    for (const line of running.summary()) io.say(line)
    await stop.first
    io.say('stopping: subscribers are sent to other controllers; a second signal ends it at once')
    await running.close()
    return exitCodes.fine
  } catch (error) {
    io.say(`waymark controller: can not start: ${describe(error)}`)
    return exitCodes.failed
  } finally {
    stop.release()
  }
}
