import type { Context, Place } from './case.ts'
import type { KubeObject } from './objects.ts'
import { backend, parent, route, service, waypointSelector } from './manifests.ts'

/** Where disruptions happen: two of everything, as people run it who want no failures. Cases that name it share it. */
export const sturdyPlace: Place = {
  sturdy: { client: true, waypoint: { replicas: '2' }, apps: { echo: { version: 'v1', replicas: 2 } } },
}

/** A Service behind a route that says which edit of it is in force; nothing is retried beyond what every request has. */
export const sturdyManifests: readonly KubeObject[] = [service('sturdy', 'echo', { app: 'echo' }), editedRoute('0')]

/** The route with another mark. */
export function editedRoute(edit: string): KubeObject {
  return route('HTTPRoute', 'sturdy', 'echo', [parent('echo', { port: 80 })], [
    { filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'x-edit', value: edit }] } }], backendRefs: [backend('echo')] },
  ])
}

/** Restarts a Deployment's pods one by one, and waits until the old ones are gone. */
export async function restarted({ kube, namespace, until }: Context, deployment: string, selector: string): Promise<void> {
  const before = await podNames(kube, namespace('sturdy'), selector)
  await kube.kubectl(['rollout', 'restart', '-n', namespace('sturdy'), `deployment/${deployment}`])
  await kube.kubectl(['rollout', 'status', '-n', namespace('sturdy'), `deployment/${deployment}`, '--timeout=120s'], { timeoutMs: 150_000 })
  await until(`the old pods of ${deployment} to be gone`, async () => (await podNames(kube, namespace('sturdy'), selector)).every((name) => !before.includes(name)), 90_000)
}

/** Names of the pods that a selector finds, those that end included. */
export async function podNames(kube: Context['kube'], namespace: string, selector: string): Promise<readonly string[]> {
  return (await kube.list('Pod', namespace, selector)).map(({ metadata }) => metadata.name)
}

/** Waits until a Deployment has so many pods, all ready, and no other is left. */
export async function hasPods({ kube, namespace, until }: Context, selector: string, count: number): Promise<void> {
  await until(`${count} ready pods with ${selector}`, async () => {
    const pods = await kube.list('Pod', namespace('sturdy'), selector)
    return pods.length === count && pods.every(isReady)
  }, 90_000)
}

/** Whether a pod is ready and not about to end. */
export function isReady({ metadata, status }: KubeObject): boolean {
  const { conditions = [] } = (status ?? {}) as { readonly conditions?: readonly { readonly type: string; readonly status: string }[] }
  return metadata.deletionTimestamp === undefined && conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True')
}

export const waypointPods = waypointSelector
