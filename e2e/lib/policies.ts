import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import type { Context, Role } from './case.ts'
import { KubeError } from './kube.ts'
import { pathOf, type Condition, type KubeObject } from './objects.ts'
import type { Reply } from '../app/protocol.ts'

/** Group and version of the mesh's own kinds. */
const apiVersion = 'policy.waymark.dev/v1alpha1'

/** An AuthorizationPolicy of `spec`. */
export function authorization(role: Role, name: string, spec: object): KubeObject {
  return { apiVersion, kind: 'AuthorizationPolicy', metadata: { namespace: role, name }, spec }
}

/** An MTLSPolicy. @param selector labels of pods; undefined: the whole namespace */
export function mtls(role: Role, name: string, mode: 'Strict' | 'Permissive', selector?: Readonly<Record<string, string>>): KubeObject {
  return { apiVersion, kind: 'MTLSPolicy', metadata: { namespace: role, name }, spec: { mode, ...(selector === undefined ? {} : { selector: { matchLabels: selector } }) } }
}

/** A reference to a Service as a target. */
export function onService(name: string): object {
  return { group: '', kind: 'Service', name }
}

/** What the status of a policy says of each target, `KIND NAME: TYPE=STATUS REASON, …`, once it is about this generation; undefined before. */
export function verdictsOf(policy: KubeObject): readonly string[] | undefined {
  const { ancestors = [] } = (policy['status'] ?? {}) as { readonly ancestors?: readonly Ancestor[] }
  const settled = ancestors.length > 0 && ancestors.every(({ conditions }) => conditions.every(({ observedGeneration }) => observedGeneration === policy.metadata.generation))
  if (!settled) return undefined
  return ancestors.map(({ ancestorRef: { kind, name }, conditions }) => `${kind} ${name}: ${conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`).join(', ')}`)
}

interface Ancestor {
  readonly ancestorRef: { readonly kind: string; readonly name: string }
  readonly conditions: readonly Condition[]
}

/** Applies a policy of a role and waits until its status says so much. */
export async function judgedAs({ kube, placed, until }: Context, policy: KubeObject, wanted: (verdicts: readonly string[]) => boolean): Promise<KubeObject> {
  const [object = policy] = placed([policy])
  let last: KubeObject = await kube.apply(object)
  await until(`${policy.kind} ${policy.metadata.name} to be judged`, async () => {
    last = await kube.get(object, last.metadata.namespace, last.metadata.name)
    const verdicts = verdictsOf(last)
    return verdicts !== undefined && wanted(verdicts)
  }, 30_000).catch((error: unknown) => assert.fail(`${String(error)}: ${JSON.stringify(last['status'])}`))
  return last
}

/** Whether every target is accepted and enforced. */
export function allEnforced(verdicts: readonly string[]): boolean {
  return verdicts.every((each) => / Accepted=True Accepted, Enforced=True Enforced$/.test(each))
}

/** Takes policies away again. */
export async function withdrawn({ kube, placed }: Context, policies: readonly KubeObject[]): Promise<void> {
  await Promise.all(placed(policies).map((object) => kube.remove(object, object.metadata.namespace, object.metadata.name)))
}

/** What the API server says to an object that it must not take, without keeping it; '' if it takes it. */
export async function refusalOf({ kube, placed }: Context, policy: KubeObject): Promise<string> {
  const [object = policy] = placed([policy])
  try {
    await kube.raw('POST', `${pathOf(object, object.metadata.namespace)}?dryRun=All&fieldValidation=Strict`, object)
    return ''
  } catch (error) {
    if (error instanceof KubeError && (error.status === 400 || error.status === 422)) return error.message
    throw error
  }
}

/** A reply in a word: the status, with the mesh's reason if it is the mesh's; or how the connection ended. */
export function wordOf({ status, reason, error = '' }: Pick<Reply, 'status' | 'reason' | 'error'>): string {
  if (status === 0) return /^E[A-Z]+/.exec(error)?.[0] ?? error
  return reason === undefined ? String(status) : `${status} ${reason}`
}

/**
 * Waits until everything is as expected, and looks whether it stays so.
 * @returns milliseconds until then
 * @throws with the difference
 */
export async function settles<T>({ until }: Context, what: string, look: () => Promise<T>, expected: T, withinMs = 20_000): Promise<number> {
  const start = performance.now()
  let last: T | undefined
  const took = await until(what, async () => isDeepStrictEqual((last = await look()), expected) && performance.now() - start, withinMs).catch(() => undefined)
  if (took === undefined) assert.deepEqual(last, expected, what)
  assert.deepEqual(await look(), expected, `${what}, and it stays so`)
  return took ?? 0
}
