import type { GatewayClass } from '../../api/gateway.ts'
import type { KubeClient } from '../../kube/client.ts'
import { isStatus } from '../../kube/errors.ts'
import type { KubeObject } from '../../kube/object.ts'
import { parseInfo } from '../../control/ca/info.ts'
import { caNames } from '../../control/ca/names.ts'
import { isMarkedCaptured, install } from '../../model/install.ts'
import { controllerName } from '../../model/status.ts'
import { waypointClass } from '../../translate/waypoints.ts'
import { helmRelease, otherInstallation } from '../install.ts'
import { installationObjects } from '../installation.ts'
import { waypointClassOf } from '../mesh/facts.ts'
import { checkDefinitions } from './gateway-api.ts'
import { reach, whoAmI } from './kubernetes.ts'
import { otherMeshes } from './other-meshes.ts'
import { count, failure, ok, section, some, unlessForbidden, warning, type Line, type Section } from './report.ts'
import { checkInstallRights } from './rights.ts'

/** Looks whether the mesh can be installed in a cluster. Changes nothing. */
export async function checkPre(client: KubeClient, namespace: string): Promise<readonly Section[]> {
  const { lines, reachable } = await reach(client)
  if (!reachable) return [{ name: 'kubernetes', lines }]
  const [who, ...rest] = await Promise.all([
    section('kubernetes', 'who you are', async () => [await whoAmI(client)]),
    section('rights', 'what you may do', () => checkInstallRights(client, namespace)),
    section('gateway api', 'Gateway API', async () => [...(await checkDefinitions(client)), ...(await checkClass(client))]),
    section('installation', 'what is there', () => checkPlace(client, namespace)),
    section('other meshes', 'which namespaces other meshes capture', () => checkOtherMeshes(client)),
  ])
  return [{ name: 'kubernetes', lines: [...lines, ...who.lines] }, ...rest]
}

function checkClass(client: KubeClient): Promise<readonly Line[]> {
  return unlessForbidden(`the GatewayClass ${waypointClass}`, async () => [judgeClass(await waypointClassOf(client))])
}

function judgeClass(found: GatewayClass | undefined): Line {
  const owner = found?.spec.controllerName
  if (found === undefined) return ok(`no GatewayClass is called ${waypointClass} yet`)
  if (owner === controllerName) return ok(`the GatewayClass ${waypointClass} is ours already`)
  return failure(`the GatewayClass ${waypointClass} is that of another controller, ${owner ?? 'unknown'}`, `two of that name can not be in a cluster: take the other away first, kubectl delete gatewayclass ${waypointClass}`)
}

/** Whether the place is free: no installation here or elsewhere, nothing left of one, pods may run. */
async function checkPlace(client: KubeClient, namespace: string): Promise<readonly Line[]> {
  const other = await otherInstallation(client, namespace)
  if (other !== undefined) {
    return [failure(`the mesh is installed in namespace ${other}, and a cluster has only one`, `change that one with --namespace ${other}, or take it away first: waymark uninstall --namespace ${other}`)]
  }
  const deployment = await client.read({ apiVersion: 'apps/v1', kind: 'Deployment', namespace, name: install.controller })
  if (deployment !== undefined) {
    const release = await helmRelease(client, namespace)
    const how = release === undefined ? 'waymark install --apply changes it' : `it is the Helm release ${release}: helm upgrade changes it`
    return [warning(`the mesh is installed in namespace ${namespace} already`, `${how}; waymark check without --pre says how it is`)]
  }
  return [...(await checkLeftovers(client, namespace)), await checkAdmission(client, namespace)]
}

async function checkLeftovers(client: KubeClient, namespace: string): Promise<readonly Line[]> {
  const rbac = 'rbac.authorization.k8s.io/v1'
  const parts = [
    { apiVersion: rbac, kind: 'ClusterRole', name: install.controller },
    { apiVersion: rbac, kind: 'ClusterRoleBinding', name: install.controller },
    { apiVersion: 'v1', kind: 'ServiceAccount', namespace, name: install.controller },
    { apiVersion: 'v1', kind: 'Service', namespace, name: install.controller },
    { apiVersion: 'apps/v1', kind: 'DaemonSet', namespace, name: install.agent },
    { apiVersion: 'v1', kind: 'ServiceAccount', namespace, name: install.agent },
  ]
  const found = (await Promise.all(parts.map(async (each) => ((await client.read(each)) === undefined ? [] : [`${each.kind} ${each.name}`])))).flat()
  const bundle = await client.read({ apiVersion: 'v1', kind: 'ConfigMap', namespace, name: install.bundleConfigMap })
  const captured = await unlessForbidden('whether pods are still captured by agents', () => judgeCaptured(client), 'nothing to do if there was no installation with agents')
  const ca = parseInfo((bundle?.['data'] as Readonly<Record<string, string>> | undefined)?.[caNames.infoKey])
  return [
    found.length === 0 ? ok('nothing is left of an older installation') : warning('parts of an older installation are left', 'the next one takes them over; waymark uninstall deletes them', found),
    ...captured,
    ...(ca === undefined ? [] : [warning(
      `the CA of an older mesh is left (trust domain ${ca.trustDomain}, generation ${ca.generation}): an installation goes on with it`,
      'nothing to do if it is to be the same mesh; else waymark uninstall --ca deletes it')]),
  ]
}

async function judgeCaptured(client: KubeClient): Promise<readonly Line[]> {
  const { items } = (await client.get('/api/v1/pods')) as { readonly items: readonly KubeObject[] }
  const captured = items.filter(isMarkedCaptured).map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`)
  if (captured.length === 0) return []
  return [warning(
    `${count(captured.length, 'pod')} ${captured.length === 1 ? 'is' : 'are'} marked as captured by agents of an older installation: unless these retired before they went, connections are refused there`,
    'replace these pods, for rules end with them; docs/agent.md says how agents are taken away', some(captured))]
}

/** Tries, without making it, a pod as the controller's are: Pod Security, quotas and admission policies have their say. */
async function checkAdmission(client: KubeClient, namespace: string): Promise<Line> {
  const present = await client.read({ apiVersion: 'v1', kind: 'Namespace', name: namespace })
  if (present === undefined) return ok(`namespace ${namespace} is not there yet and will be made, with Pod Security "restricted"`)
  try {
    await client.create(trialPod(namespace), { query: { dryRun: 'All' } })
    return ok(`namespace ${namespace} takes pods as the controller's are`)
  } catch (error) {
    if (!isStatus(error, 400, 403, 422)) throw error
    const { message } = error
    if (/cannot create resource/.test(message)) return warning(`whether namespace ${namespace} takes the controller's pods can not be tried: ${message}`, 'use a context that may create pods there')
    if (/dry ?run/i.test(message)) return warning(`whether namespace ${namespace} takes the controller's pods can not be tried: ${message}`, 'nothing to do: an admission webhook there does not know dry runs')
    return failure(`namespace ${namespace} does not take pods as the controller's are: ${message}`, 'they meet Pod Security "restricted" and ask for little: change the quota or the policy that the message names')
  }
}

function trialPod(namespace: string): KubeObject {
  const settings = { namespace, imagePullPolicy: 'IfNotPresent', imagePullSecret: [], replicas: 1, trustDomain: 'any', svidLifetime: 3600, accessLog: 'none' } as const
  const deployment = installationObjects(settings).find(({ kind }) => kind === 'Deployment')
  const { template } = (deployment?.['spec'] ?? {}) as { readonly template?: { readonly metadata?: { readonly labels?: Readonly<Record<string, string>> }; readonly spec?: Readonly<Record<string, unknown>> } }
  // Its own service account is not there before it is installed.
  const spec = Object.fromEntries(Object.entries(template?.spec ?? {}).filter(([field]) => field !== 'serviceAccountName'))
  return { apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name: 'waymark-check', labels: { 'app.kubernetes.io/name': 'waymark-check' } }, spec }
}

function checkOtherMeshes(client: KubeClient): Promise<readonly Line[]> {
  return unlessForbidden('whether another mesh is in the cluster', async () => [judgeOtherMeshes(await otherMeshes(client))], 'nothing to do if you know that there is none')
}

function judgeOtherMeshes(found: readonly { readonly namespace: string; readonly mesh: string }[]): Line {
  if (found.length === 0) return ok('no other mesh captures the traffic of a namespace')
  const meshes = [...new Set(found.map(({ mesh }) => mesh))].join(', ')
  return warning(`another mesh is in the cluster: ${meshes}`, 'both can be there, but no namespace may be in two meshes: leave these out of this one, or take their labels away',
    some(found.map(({ namespace, mesh }) => `namespace ${namespace}: ${mesh}`)))
}
