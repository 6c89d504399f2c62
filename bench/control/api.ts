import type { KubeObject } from '../../src/kube/object.ts'
import { install } from '../../src/model/install.ts'
import { startApiServer, type ApiServer } from '../../test/simulated/api-server.ts'
import { runScript } from '../children.ts'
import { monotonicMs } from './clock.ts'
import { namespaceName, routeObject, servicesOf, sliceObject, worldOf, type WorldSize } from './world.ts'

/** What this process is asked for over its channel. */
export type ApiCommand =
  /** Changes a route of namespace 1; answered with `ApiDone`. */
  | { readonly type: 'route'; readonly edition: number }
  /** Makes another pod of a Service unready, a Service in turn for each `step`. */
  | { readonly type: 'endpoint'; readonly step: number }
  /** A pod's token for the service account `waypoint` of a namespace. */
  | { readonly type: 'token'; readonly namespace: number; readonly pod: string }
  /** The text of a kubeconfig. */
  | { readonly type: 'config' }
  /** Only for the number of writes. */
  | { readonly type: 'count' }

/** The answer to each command. */
export interface ApiDone {
  /** Monotonic milliseconds just before the change was made, the same clock in every process of the machine. */
  readonly atMs: number
  readonly token?: string
  readonly config?: string
  /** Writes of the controller since the start, but for the renewals of its Lease and Events. */
  readonly writes: number
  /** Events that it told. */
  readonly events: number
}

/** The simulated API server with the generated cluster, in a process of its own. */
runScript<WorldSize>(async (size) => {
  const server = await startApiServer({ historySize: 2_000 })
  server.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: install.namespace } })
  for (const object of worldOf(size)) server.put(object)
  const put = (object: KubeObject): void => void server.put(object)

  process.on('message', (command: ApiCommand) => {
    const atMs = monotonicMs()
    let more: Pick<ApiDone, 'token' | 'config'> = {}
    switch (command.type) {
      case 'route':
        put(routeObject(1, 0, 0, size, command.edition))
        break
      case 'endpoint': {
        const namespace = command.step % size.namespaces
        const round = Math.floor(command.step / size.namespaces)
        put(sliceObject(namespace, round % servicesOf(size, namespace), size, round % size.podsEach))
        break
      }
      case 'token': {
        const namespace = namespaceName(command.namespace)
        const pod = server.put({ apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name: command.pod }, spec: { serviceAccountName: 'waypoint' } })
        const bound = { name: command.pod, uid: pod.metadata.uid ?? '' }
        more = { token: server.tokens.issue({ namespace, serviceAccount: 'waypoint', audiences: [install.tokenAudience], pod: bound }) }
        break
      }
      case 'config':
        more = { config: server.kubeConfigText() }
        break
      case 'count':
        break
    }
    process.send?.({ atMs, ...writesOf(server), ...more } satisfies ApiDone)
  })
  return { port: server.port }
})

function writesOf(server: ApiServer): Pick<ApiDone, 'writes' | 'events'> {
  let [writes, events] = [0, 0]
  for (const [line, count] of server.counts()) {
    if (!/^(create|update|patch|delete)/.test(line) || line.includes('/leases') || line.endsWith('reviews')) continue
    if (line.endsWith('/events')) events += count
    else writes += count
  }
  return { writes, events }
}
