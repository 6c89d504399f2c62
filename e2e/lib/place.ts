import type { Entry, Place } from './case.ts'
import { startClient, type Client, type DriverPlace } from './client.ts'
import type { Kube } from './kube.ts'
import { roomObjects, type Images } from './manifests.ts'
import { install } from '../../src/model/install.ts'
import { conditionsOf, holds, routeParents, type KubeObject } from './objects.ts'
import { placeObject, uniqueSuffix } from './roles.ts'
import { controllerName } from '../../src/model/status.ts'
import { inParallel, until } from './wait.ts'

/**
 * Where cases run that need nothing of their own. `store` owns the Services and has a waypoint, `shop` is another namespace with a waypoint,
 * `garden` one without; each has a client. The pods of `store` are `echo-v1` and `echo-v2`, labelled `app: echo` and `version`.
 */
export const standingPlace: Place = {
  store: { client: true, apps: { 'echo-v1': { version: 'v1' }, 'echo-v2': { version: 'v2' } } },
  shop: { client: true },
  garden: { client: true, waypoint: false },
}

/** Namespaces that were made for cases. */
export interface Standing {
  readonly names: ReadonlyMap<string, string>
  readonly namespaces: readonly string[]
  /** @throws if there is no such role */
  readonly namespace: (role: string) => string
  readonly client: (role: string) => Promise<Client>
  /** See `Context`. */
  readonly driver: (role: string, pod: string, container?: string) => Promise<Client>
  /** Ends the clients and asks for the namespaces' end. */
  readonly end: () => Promise<void>
}

export interface PlaceOptions {
  readonly images: Images
  /** How the clients enter the mesh. */
  readonly entry: Entry
  readonly signal: AbortSignal
  /** Called before anything is made. */
  readonly onStart: (standing: Standing) => void
}

/** Makes namespaces under unique names, and waits until everything in them is ready. What was made is ended if that fails. */
export async function makePlace(kube: Kube, place: Place, { images, entry, signal, onStart }: PlaceOptions): Promise<Standing> {
  const suffix = uniqueSuffix()
  const names = new Map(Object.keys(place).map((role) => [role, `${role}-${suffix}`]))
  const namespace = (role: string): string => {
    const found = names.get(role)
    if (found === undefined) throw new Error(`this case has no namespace for the role ${role}; it has ${[...names.keys()].join(', ')}`)
    return found
  }
  const clients = new Map<string, Client>()
  const talkTo = (role: string, where: DriverPlace): Promise<Client> => {
    const key = `${role} ${JSON.stringify(where)}`
    const known = clients.get(key)
    if (known?.gone() === false) return Promise.resolve(known)
    const client = startClient(kube, namespace(role), where)
    clients.set(key, client)
    return Promise.resolve(client)
  }
  const standing: Standing = {
    names, namespace,
    namespaces: [...names.values()],
    client: (role) => talkTo(role, entry === 'connect' ? {} : { via: 'captured' }),
    driver: (role, pod, container = 'driver') => talkTo(role, { pod, container, via: 'direct' }),
    end: async () => {
      for (const client of clients.values()) client.close()
      await Promise.all([...names.values()].map(async (name) => {
        await kube.remove('Namespace', undefined, name)
        // Nobody is served any more: pods that serve out their time only keep nodes busy, and whoever waits for the namespace's end. Not before, or Deployments make others.
        await kube.raw('DELETE', `/api/v1/namespaces/${name}/pods`, { gracePeriodSeconds: 1 })
      }).map((ending) => ending.catch(() => {})))
    },
  }
  onStart(standing)
  const objects = Object.entries(place).flatMap(([role, room]) => roomObjects(role, room, entry, images)).map((object) => placeObject(object, names))
  await Promise.all(objects.filter(({ kind }) => kind === 'Namespace').map((object) => kube.apply(object)))
  // A pod that needs the bundle before it is there waits much longer than the bundle takes.
  const members = Object.entries(place).filter(([, { mesh = true }]) => mesh).map(([role]) => namespace(role))
  await Promise.all(members.map((name) => until(`ConfigMap ${name}/${install.bundleConfigMap}`, () => kube.find('ConfigMap', name, install.bundleConfigMap), { signal })))
  await applyInForce(kube, objects.filter(({ kind }) => kind !== 'Namespace'), [], signal)
  return standing
}

/**
 * Applies objects that name real namespaces: what routes refer to first; each part is awaited.
 * @param notInForce names that are not waited for
 */
export async function applyInForce(kube: Kube, objects: readonly KubeObject[], notInForce: readonly string[], signal: AbortSignal): Promise<readonly KubeObject[]> {
  // Accounts before the pods that run as them.
  const parts = [[/^ServiceAccount$/, true], [/^ServiceAccount$|Route$/, false], [/Route$/, true]] as const
  const applied: KubeObject[] = []
  for (const [pattern, fits] of parts) {
    const some = objects.filter(({ kind }) => pattern.test(kind) === fits)
    const made: KubeObject[] = []
    await inParallel(some, 8, async (object) => void made.push(await kube.apply(object)))
    const awaited = made.filter(({ metadata: { name } }) => !notInForce.includes(name))
    await inParallel(awaited, 16, (object) => inForce(kube, object, signal))
    applied.push(...made)
  }
  return applied
}

/** Waits until an object does what it is for. */
export async function inForce(kube: Kube, { apiVersion, kind, metadata: { namespace = '', name } }: KubeObject, signal: AbortSignal): Promise<void> {
  const test = tests[kind.endsWith('Route') ? 'Route' : kind]
  if (test === undefined) return
  let last: KubeObject | undefined
  await until(`${kind} ${namespace}/${name} to be in force`, async () => {
    last = await kube.get({ apiVersion, kind }, namespace, name)
    return test(last, kube)
  }, { signal, withinMs: 120_000 }).catch((error: unknown) => {
    if (last !== undefined && error instanceof Error) error.message += `; status: ${JSON.stringify(last['status']).slice(0, 1_500)}`
    throw error
  })
}

type Test = (object: KubeObject, kube: Kube) => boolean | Promise<boolean>

const tests: Readonly<Record<string, Test>> = {
  Deployment: (object) => {
    const { replicas = 1 } = object['spec'] as { readonly replicas?: number }
    const status = object['status'] as { readonly observedGeneration?: number; readonly readyReplicas?: number; readonly updatedReplicas?: number } | undefined
    return status?.observedGeneration === object.metadata.generation && (status?.readyReplicas ?? 0) === replicas && (status?.updatedReplicas ?? 0) === replicas
  },
  Pod: (object) => holds(conditionsOf(object), 'Ready', object.metadata.generation),
  Gateway: (object) => holds(conditionsOf(object), 'Programmed', object.metadata.generation),
  Route: (object) => {
    const parents = routeParents(object, controllerName)
    const { parentRefs = [] } = object['spec'] as { readonly parentRefs?: readonly object[] }
    return parents.length === parentRefs.length && parents.every(({ conditions }) =>
      ['Accepted', 'waymark.dev/Programmed'].every((type) => holds(conditions, type, object.metadata.generation)))
  },
  Service: async (object, kube) => {
    const { selector } = object['spec'] as { readonly selector?: object }
    return selector === undefined || (await readyAddresses(kube, object.metadata.namespace ?? '', object.metadata.name)).length > 0
  },
}

interface SliceEndpoint {
  readonly addresses: readonly string[]
  readonly conditions?: { readonly ready?: boolean }
}

/** Addresses of a Service's ready endpoints. */
export async function readyAddresses(kube: Kube, namespace: string, service: string): Promise<readonly string[]> {
  const slices = await kube.list('EndpointSlice', namespace, `kubernetes.io/service-name=${service}`)
  return slices.flatMap(readyIn)
}

/** Addresses of the ready endpoints in one EndpointSlice. */
export function readyIn(slice: KubeObject): readonly string[] {
  const endpoints = (slice['endpoints'] ?? []) as readonly SliceEndpoint[] | null
  return (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false).flatMap(({ addresses }) => addresses)
}
