import type { Channel } from '../api/schema.ts'
import { systemClock, type Clock } from '../kit/clock.ts'
import type { KubeClient } from '../kube/client.ts'
import type { KubeChoice } from '../kube/config.ts'
import { isStatus } from '../kube/errors.ts'
import type { KubeObject } from '../kube/object.ts'
import { install as names } from '../model/install.ts'
import { controllerName } from '../model/status.ts'
import { withCluster, type ClusterAccess } from './cluster.ts'
import { applyDefinitions } from './definitions-in-cluster.ts'
import { cliFieldManager, gatewayApiDefinitions, installationObjects, ownDefinitions, type InstallationSettings } from './installation.ts'
import { exitCodes, type Io } from './io.ts'
import { waitForController } from './rollout.ts'
import { toYamlDocuments } from './yaml.ts'

export interface InstallOptions extends InstallationSettings, KubeChoice {
  /** Gateway API's CRDs too, of that channel. */
  readonly crds?: Channel | undefined
  /** Applies the manifests instead of printing them. */
  readonly apply: boolean
  /** Seconds that `--apply` waits for the CRDs, and then for the controller. */
  readonly timeout: number
}

/** `waymark install`: the manifests of an installation, printed or applied. */
export async function install(options: InstallOptions, io: Io, access: ClusterAccess = {}): Promise<number> {
  if (!options.apply) {
    const definitions = options.crds === undefined ? [] : gatewayApiDefinitions(options.crds)
    io.out(toYamlDocuments([...definitions, ...ownDefinitions(), ...installationObjects(options)]))
    io.say('nothing was applied: pipe this to `kubectl apply --server-side -f -`, or use --apply')
    return exitCodes.fine
  }
  return withCluster(options, access, io, 'install', (client) => applyAll(client, access.clock ?? systemClock, options, io))
}

async function applyAll(client: KubeClient, clock: Clock, options: InstallOptions, io: Io): Promise<number> {
  const objects = installationObjects(options)
  const refusal = await whyNot(client, options)
  if (refusal !== undefined) {
    io.say(`waymark install: ${refusal}; nothing was changed`)
    return exitCodes.failed
  }
  const timeoutMs = options.timeout * 1000
  // What the namespace holds must not be there before it is.
  const [namespace, ...rest] = objects
  if (namespace !== undefined) await applyOne(client, namespace, io)
  if (options.crds !== undefined && !(await applyDefinitions(client, clock, { channel: options.crds, timeoutMs }, io))) return exitCodes.failed
  for (const definition of ownDefinitions()) await applyOne(client, definition, io)
  for (const object of rest) await applyOne(client, object, io)
  if (!(await waitForController(client, clock, { namespace: options.namespace, replicas: options.replicas, timeoutMs }, io))) return exitCodes.failed
  io.say('the mesh is installed; see `waymark check`. Next, give a namespace its waypoint:')
  io.say('  kubectl label namespace NAME waymark.dev/mesh=enabled waymark.dev/waypoint=auto')
  return exitCodes.fine
}

/** Why an installation must not begin; found out before anything is changed. */
async function whyNot(client: KubeClient, options: InstallOptions): Promise<string | undefined> {
  const hasApi = await hasGatewayApi(client)
  if (options.crds === undefined && !hasApi) {
    return 'the cluster has no Gateway API: add --crds standard, or install its CRDs yourself'
  }
  const other = await otherInstallation(client, options.namespace)
  if (other !== undefined) return `the mesh is there already, in the namespace ${other}, and a cluster has only one: use --namespace ${other} to change it`
  const release = await helmRelease(client, options.namespace)
  if (release !== undefined) return `the mesh is there already as the Helm release ${release} in ${options.namespace}: change it with helm upgrade`
  if (hasApi) {
    const present = await client.read({ apiVersion: 'gateway.networking.k8s.io/v1', kind: 'GatewayClass', name: 'waypoint' })
    const owner = (present?.['spec'] as { readonly controllerName?: string } | undefined)?.controllerName
    // The field can not be changed, and what it names may be somebody else's.
    if (owner !== undefined && owner !== controllerName) return `the GatewayClass waypoint is that of ${owner}: two of that name can not be in a cluster`
  }
  return undefined
}

async function hasGatewayApi(client: KubeClient): Promise<boolean> {
  try {
    await client.get('/apis/gateway.networking.k8s.io/v1')
    return true
  } catch (error) {
    if (isStatus(error, 404)) return false
    throw error
  }
}

/** Name of the Helm release that looks after the controller; undefined if none does. */
export async function helmRelease(client: KubeClient, namespace: string): Promise<string | undefined> {
  const deployment = await client.read({ apiVersion: 'apps/v1', kind: 'Deployment', namespace, name: names.controller })
  const { annotations, labels } = deployment?.metadata ?? {}
  return labels?.['app.kubernetes.io/managed-by'] === 'Helm' ? (annotations?.['meta.helm.sh/release-name'] ?? 'of unknown name') : undefined
}

/** The namespace of an installation elsewhere than in `namespace`; undefined if there is none. */
export async function otherInstallation(client: KubeClient, namespace: string): Promise<string | undefined> {
  const binding = await client.read({ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding', name: names.controller })
  const { subjects = [] } = (binding ?? {}) as { readonly subjects?: readonly { readonly namespace?: string }[] }
  return subjects.find((subject) => subject.namespace !== namespace)?.namespace
}

async function applyOne(client: KubeClient, object: KubeObject, io: Io): Promise<void> {
  await client.apply(object, cliFieldManager)
  const { namespace, name } = object.metadata
  io.say(`applied ${object.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`)
}
