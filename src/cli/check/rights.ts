import type { KubeClient } from '../../kube/client.ts'
import type { KubeObject } from '../../kube/object.ts'
import { pathInfo } from '../../kube/paths.ts'
import { policyRules, type PolicyRule } from '../../model/rbac.ts'
import { installationObjects } from '../installation.ts'
import { inParallel } from '../mesh/pods.ts'
import { failure, ok, some, type Line } from './report.ts'

/** What somebody may or may not do. Source: authorization.k8s.io/v1 ResourceAttributes. */
export interface Right {
  readonly verb: string
  readonly group: string
  readonly resource: string
  readonly namespace?: string
  readonly name?: string
}

/** How many questions are asked at a time. */
const parallel = 8

/** @returns why not; undefined: it is allowed */
async function whyNot(client: KubeClient, right: Right): Promise<string | undefined> {
  const review = await client.create({
    apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', metadata: {} as KubeObject['metadata'], spec: { resourceAttributes: right },
  })
  const { allowed, reason } = (review['status'] ?? {}) as { readonly allowed?: boolean; readonly reason?: string }
  return allowed === true ? undefined : (reason ?? '')
}

async function mayNot(client: KubeClient, rights: readonly Right[]): Promise<readonly Right[]> {
  const answers = await inParallel(rights, parallel, async (right) => ({ right, why: await whyNot(client, right) }))
  return answers.filter(({ why }) => why !== undefined).map(({ right }) => right)
}

/** `patch deployments.apps in namespace x` */
export function describeRight(right: Right): string {
  return describeRights([right])[0] ?? ''
}

/** Rights by what they are about: `create, patch deployments.apps in namespace x`; with the names of objects, if only these are meant. */
function describeRights(rights: readonly Right[]): readonly string[] {
  const verbs = new Map<string, Set<string>>()
  for (const { verb, group, resource, namespace, name } of rights) {
    const what = `${resource}${group === '' ? '' : `.${group}`}${name === undefined ? '' : ` ${name}`}${namespace === undefined ? '' : ` in namespace ${namespace}`}`
    const known = verbs.get(what) ?? new Set()
    verbs.set(what, known.add(verb))
  }
  return [...verbs].map(([what, each]) => `${[...each].join(', ')} ${what}`)
}

/** Whether the user may make everything that an installation has. */
export async function checkInstallRights(client: KubeClient, namespace: string): Promise<readonly Line[]> {
  // Cluster administrators are done after one question.
  if ((await whyNot(client, { verb: '*', group: '*', resource: '*' })) === undefined) return [ok('you may do everything, so also install the mesh')]
  const missing = describeRights(await mayNot(client, installRights(namespace)))
  const grants = await missingGrants(client, namespace)
  return [
    missing.length === 0
      ? ok('you may make every object that an installation has')
      : failure('you may not make everything that an installation has', 'use a context with the rights of a cluster administrator, or ask for these', some(missing, 60)),
    grants.length === 0
      ? ok('you may give the controller the rights that it needs')
      : failure('you may not give the controller the rights that it needs: nobody can grant what they lack', 'use a context with the rights of a cluster administrator, or ask for the right to escalate and bind roles', some(grants, 60)),
  ]
}

/** Server-side apply of each object needs to get, create and patch it. */
function installRights(namespace: string): readonly Right[] {
  const settings = { namespace, imagePullPolicy: 'IfNotPresent', imagePullSecret: [], replicas: 2, trustDomain: 'any', svidLifetime: 3600, accessLog: 'none' } as const
  const rights = new Map<string, Right>()
  for (const { kind, metadata } of installationObjects(settings)) {
    const info = pathInfo(kind)
    if (info === undefined) continue
    for (const verb of ['get', 'create', 'patch']) {
      const right = { verb, group: info.group, resource: info.plural, ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }) }
      rights.set(describeRight(right), right)
    }
  }
  return [...rights.values()]
}

/** Source: Kubernetes RBAC, "Restrictions on role creation or update". */
async function missingGrants(client: KubeClient, namespace: string): Promise<readonly string[]> {
  const rbac = 'rbac.authorization.k8s.io'
  const powers: readonly Right[] = [
    { verb: 'escalate', group: rbac, resource: 'clusterroles' }, { verb: 'bind', group: rbac, resource: 'clusterroles' },
    { verb: 'escalate', group: rbac, resource: 'roles', namespace }, { verb: 'bind', group: rbac, resource: 'roles', namespace },
  ]
  if ((await mayNot(client, powers)).length === 0) return []
  const rights = [...policyRules('cluster').flatMap((rule) => rightsOf(rule)), ...policyRules('own').flatMap((rule) => rightsOf(rule, namespace))]
  return describeRights(await mayNot(client, [...new Map(rights.map((each) => [describeRight(each), each])).values()]))
}

function rightsOf({ apiGroups, resources, verbs, resourceNames }: PolicyRule, namespace?: string): readonly Right[] {
  const names = resourceNames ?? [undefined]
  return apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.flatMap((verb) => names.map((name) => ({
    verb, group, resource, ...(namespace === undefined ? {} : { namespace }), ...(name === undefined ? {} : { name }),
  })))))
}

/** What the controller needs and live rules do not give, each as words. @param needed the rules that an installation has */
export function missingRights(needed: readonly PolicyRule[], live: readonly PolicyRule[]): readonly string[] {
  return describeRights(needed.flatMap((rule) => rightsOf(rule)).filter((right) => !live.some((each) => gives(each, right))))
}

/** What live rules give beyond what the controller needs, each as words. */
export function extraRights(needed: readonly PolicyRule[], live: readonly PolicyRule[]): readonly string[] {
  return describeRights(live.flatMap((rule) => rightsOf(rule)).filter((right) => !needed.some((each) => gives(each, right))))
}

function gives({ apiGroups, resources, verbs, resourceNames }: PolicyRule, { group, resource, verb, name }: Right): boolean {
  const has = (list: readonly string[], value: string): boolean => list.includes('*') || list.includes(value)
  const subresource = resource.includes('/') ? `*/${resource.slice(resource.indexOf('/') + 1)}` : resource
  return has(apiGroups, group) && (has(resources, resource) || resources.includes(subresource)) && has(verbs, verb) &&
    (resourceNames === undefined || resourceNames.length === 0 || (name !== undefined && resourceNames.includes(name)))
}
