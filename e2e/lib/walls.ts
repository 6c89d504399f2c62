import type { Context, Place } from './case.ts'
import type { Client } from './client.ts'
import { driverPod, type Images } from './manifests.ts'
import type { KubeObject } from './objects.ts'

/**
 * Where it is tried who gets past what. `store` has a waypoint and a version of the application on each node, `garden` applications without a waypoint;
 * `shop` sends from both nodes and has a waypoint for its consumer routes; `outside` is not in the mesh.
 */
export const wallsPlace: Place = {
  store: { apps: { 'echo-v1': { version: 'v1', node: 'control-plane' }, 'echo-v2': { version: 'v2', node: 'worker' } } },
  shop: { drivers: { a: 'control-plane', b: 'worker' } },
  garden: { waypoint: false, apps: { plot: { version: 'plot', app: 'plot', node: 'worker' }, patch: { version: 'patch', app: 'patch', node: 'control-plane' } }, drivers: { c: 'worker' } },
  outside: { mesh: false, waypoint: false, drivers: { stranger: 'worker', far: 'control-plane' } },
}

/** A pod of `shop` that runs as another service account, `thief`. */
function thief(images: Images): readonly KubeObject[] {
  const pod = driverPod('shop', 'thief', 'worker', images)
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'thief', namespace: 'shop' } },
    { ...pod, spec: { ...(pod['spec'] as object), serviceAccountName: 'thief' } },
  ]
}

/** Who sends: `a` and `thief` of shop, `c` of garden, and a stranger. */
export type Callers = Readonly<Record<'a' | 'thief' | 'c' | 'stranger', Client>>

/** Starts them; the thief is made by the first who asks. */
export async function callers({ driver, apply, installation }: Context): Promise<Callers> {
  await apply(thief(installation.images))
  const [a, thiefs, c, stranger] = await Promise.all([driver('shop', 'a'), driver('shop', 'thief'), driver('garden', 'c'), driver('outside', 'stranger')])
  return { a, thief: thiefs, c, stranger }
}
