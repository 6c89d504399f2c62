import { join } from 'node:path'
import { controllerName } from '../../src/model/status.ts'
import { install as names } from '../../src/model/install.ts'
import { run } from './command.ts'
import { root } from './cluster.ts'
import type { Kube } from './kube.ts'
import type { Images } from './manifests.ts'
import { conditionsOf, holds } from './objects.ts'
import { until } from './wait.ts'

/** What is installed where; the same in each installation of a run. */
export interface Installed {
  readonly images: Images
  /** Of the kind cluster: its nodes are the containers `CLUSTER-control-plane`, `CLUSTER-worker`. */
  readonly cluster: string
  /** Threads of each node agent. */
  readonly agentWorkers: number
}

/** What was installed, and under which names. */
export interface Installation extends Installed {
  readonly namespace: string
  /** Deployment and Service of the controller. */
  readonly controller: string
  /** In statuses of routes and in the GatewayClass. */
  readonly controllerName: string
  /** Milliseconds from `helm install` to a controller that is available. */
  readonly tookMs: number
}

/** Selects the controllers' pods. */
export const controllerPods = 'app.kubernetes.io/name=waymark,app.kubernetes.io/component=controller'

/** Name of the Helm release. */
export const release = 'waymark'

/** What is there once `installMesh` has passed. */
export function installationOf({ cluster, images, agentWorkers }: Installed, tookMs: number): Installation {
  return { namespace: names.namespace, controller: names.controller, controllerName, images, cluster, agentWorkers, tookMs }
}

/** The Custom Resource Definitions of Gateway API as the project pins them, of the experimental channel. */
export async function installCrds(kube: Kube): Promise<void> {
  await kube.kubectl(['apply', '--server-side', '--force-conflicts', '-f', join(root, 'crds/gateway-api/experimental')], { timeoutMs: 120_000 })
  await kube.kubectl(['wait', '--for=condition=Established', '--timeout=60s', '-f', join(root, 'crds/gateway-api/experimental')], { timeoutMs: 90_000 })
}

export interface InstallOptions {
  /** How long certificates of workloads are valid; default: the chart's hour. */
  readonly svidLifetimeSeconds?: number | undefined
  /** Node agents; none by default. */
  readonly agent?: boolean
  readonly signal: AbortSignal
}

/** Installs by the chart, as users do, or changes what is installed, and waits until the controllers are available and the GatewayClass is accepted. */
export async function installMesh(kube: Kube, what: Installed, { svidLifetimeSeconds, agent = false, signal }: InstallOptions): Promise<Installation> {
  const start = performance.now()
  const [repository = '', tag = ''] = what.images.waymark.split(':')
  const lifetime = svidLifetimeSeconds === undefined ? [] : [`ca.svidLifetimeSeconds=${svidLifetimeSeconds}`]
  // What agents say of each connection is what tells most when a case fails.
  const agents = agent ? ['agent.enabled=true', 'agent.accessLog=json', `agent.workers=${what.agentWorkers}`] : []
  const values = [`image.repository=${repository}`, `image.tag=${tag}`, ...lifetime, ...agents].flatMap((value) => ['--set', value])
  await run('helm', [
    'upgrade', '--install', release, join(root, 'deploy/helm/waymark'), '--kubeconfig', kube.kubeconfig, '--namespace', names.namespace, '--create-namespace', ...values,
    '--wait', '--timeout', '180s',
  ], { signal, timeoutMs: 240_000 })
  const tookMs = Math.round(performance.now() - start)
  await until('GatewayClass waypoint to be accepted', async () => {
    const found = await kube.find('GatewayClass', undefined, 'waypoint')
    return found !== undefined && holds(conditionsOf(found), 'Accepted', found.metadata.generation)
  }, { signal, withinMs: 60_000 })
  return installationOf(what, tookMs)
}

/** Restarts the controllers, so that a rebuilt image under the same name is used. */
export async function restartMesh(kube: Kube): Promise<void> {
  await kube.kubectl(['rollout', 'restart', '-n', names.namespace, `deployment/${names.controller}`])
  await kube.kubectl(['rollout', 'status', '-n', names.namespace, `deployment/${names.controller}`, '--timeout=120s'], { timeoutMs: 150_000 })
}
