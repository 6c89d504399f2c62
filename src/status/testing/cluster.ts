import { startApiServer, type ApiRequest, type ApiServer } from '../../../test/simulated/api-server.ts'
import { resourceSetOf, type Resource, type ResourceSet } from '../../api/resources.ts'
import { fakeClock, type FakeClock } from '../../kit/testing/fake-clock.ts'
import type { KubeClient } from '../../kube/client.ts'
import type { KubeObject } from '../../kube/object.ts'
import { controllerName, type Condition, type ObjectStatus, type Warning } from '../../model/status.ts'
import { createStatusWriter, type StatusWriter, type StatusWriterOptions } from '../writer.ts'

/** A simulated API server with routes, and writers whose clock stands still unless it is turned. */
export interface Cluster {
  readonly server: ApiServer
  readonly clock: FakeClock
  /** Makes HTTPRoutes `namespace/name`. */
  readonly routes: (...keys: string[]) => void
  readonly route: (key: string) => KubeObject
  /** What the watch has, as it is in the server now. */
  readonly resources: () => ResourceSet
  /** A writer that is active, and counts what it does. */
  readonly writer: (options?: Partial<StatusWriterOptions>) => TestWriter
  /** Requests that changed something or were to, of one plural. */
  readonly writes: (resource: string) => readonly ApiRequest[]
  /** Turns the clock until the promise has settled. */
  readonly drive: <T>(promise: Promise<T>) => Promise<T>
  /** Turns the clock by so much in small steps, with room for requests in between. */
  readonly pass: (ms: number) => Promise<void>
  readonly close: () => Promise<void>
}

export interface TestWriter extends StatusWriter {
  readonly log: string[]
  readonly outcomes: string[]
  readonly events: string[]
  /** Wants these statuses of the objects as the server has them now, or as `resources` has them. */
  readonly want: (statuses: readonly ObjectStatus[], warnings?: readonly Warning[], resources?: ResourceSet) => void
}

const waitLimitMs = 20_000

export const routeRef = (key: string): ObjectStatus['ref'] => {
  const [namespace = '', name = ''] = key.split('/')
  return { group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace, name }
}

/** A status of a route with one parent. */
export function routeStatus(key: string, conditions: readonly Condition[], name = controllerName): ObjectStatus {
  return { kind: 'route', ref: routeRef(key), parents: [{ parentRef: { group: '', kind: 'Service', name: 'a' }, controllerName: name, conditions }] }
}

export function condition(type: string, status: Condition['status'] = 'True', reason = type, message = ''): Condition {
  return { type, status, reason, message, observedGeneration: 1 }
}

export async function startCluster(): Promise<Cluster> {
  const server = await startApiServer()
  const clock = fakeClock(Date.parse('2026-05-01T10:00:00Z'))
  const clients: KubeClient[] = []
  const writers: StatusWriter[] = []
  const room = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

  const resources = (): ResourceSet => resourceSetOf((['HTTPRoute', 'Gateway', 'GatewayClass'] as const).flatMap((kind) => server.list(kind)) as unknown as Resource[])

  return {
    server, clock, resources,
    routes: (...keys) => {
      for (const key of keys) {
        const { namespace, name } = routeRef(key)
        server.put({ apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: { namespace, name }, spec: { parentRefs: [{ group: '', kind: 'Service', name: 'a' }] } })
      }
    },
    route: (key) => {
      const found = server.get({ ...routeRef(key) })
      if (found === undefined) throw new Error(`there is no route ${key}`)
      return found
    },
    writer: (options = {}) => {
      const client = server.client()
      clients.push(client)
      const log: string[] = []
      const outcomes: string[] = []
      const events: string[] = []
      const writer = createStatusWriter({
        client, clock, random: () => 0.5, controllerName, instance: 'controller-0', log: (line) => void log.push(line),
        observer: { write: (_, outcome) => void outcomes.push(outcome), event: (outcome) => void events.push(outcome) },
        ...options,
      })
      writers.push(writer)
      writer.setActive(true)
      return {
        ...writer, log, outcomes, events,
        want: (statuses, warnings = [], seen = resources()) => writer.update({ statuses, warnings, resources: seen }),
      }
    },
    writes: (resource) => server.writes().filter((request) => request.resource === resource),
    drive: async (promise) => {
      const state = { settled: false }
      const mark = (): void => void (state.settled = true)
      promise.then(mark, mark)
      const endMs = Date.now() + waitLimitMs
      while (!state.settled) {
        if (Date.now() > endMs) throw new Error('nothing settled in time')
        for (let turn = 0; turn < 5; turn++) await room()
        clock.advance(10)
      }
      return promise
    },
    pass: async (ms) => {
      for (let passed = 0; passed < ms; passed += 500) {
        clock.advance(500)
        for (let turn = 0; turn < 10; turn++) await room()
      }
    },
    close: async () => {
      for (const writer of writers) writer.close()
      for (const client of clients) client.close()
      await server.close()
    },
  }
}
