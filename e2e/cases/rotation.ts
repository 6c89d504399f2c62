import assert from 'node:assert/strict'
import { install } from '../../src/model/install.ts'
import { defineCases, type Context } from '../lib/case.ts'
import { withWaymark } from '../lib/cli.ts'
import { shortLifetimeSeconds } from '../lib/lifetimes.ts'
import { backend, parent, route, service } from '../lib/manifests.ts'
import { withoutFailure } from '../lib/steady.ts'

/** The roots that pods of a namespace are given. */
async function rootsIn({ kube }: Context, namespace: string): Promise<readonly string[]> {
  const { data } = (await kube.get('ConfigMap', namespace, install.bundleConfigMap)) as unknown as { readonly data: Readonly<Record<string, string>> }
  return (data[install.bundleKey] ?? '').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
}

/** The mesh gets another root while it works. */
export const cases = defineCases([
  {
    name: 'root rotation under load: every process takes the new root over and no request fails',
    features: ['ca rotate', 'certificates', 'zero failures'],
    group: 'background',
    place: {
      rotated: { client: true, waypoint: { replicas: '2' }, apps: { echo: { version: 'v1' } } },
      guest: { client: true, waypoint: false },
    },
    manifests: [service('rotated', 'echo', { app: 'echo' }), route('HTTPRoute', 'rotated', 'echo', [parent('echo', { port: 80 })], [{ backendRefs: [backend('echo')] }])],
    svidLifetimeSeconds: shortLifetimeSeconds,
    limitSeconds: 6 * shortLifetimeSeconds,
    run: async (context) => {
      const { client, url, target, kube, namespace, signal, installation } = context
      const [before, ...more] = await rootsIn(context, installation.namespace)
      assert.deepEqual(more, [])
      const load = { url: url('rotated', 'echo'), rps: 15, forSeconds: 5 * shortLifetimeSeconds }
      const rotate = (...args: readonly string[]) => withWaymark(kube, (waymark) =>
        waymark(['ca', 'rotate', '--timeout', String(4 * shortLifetimeSeconds), ...args], { timeoutMs: 5 * shortLifetimeSeconds * 1000, signal }))
      const [own, guest] = [await client('rotated'), await client('guest')]
      let over = false
      let connections = 0
      /** Requests go over tunnels that may be older than a certificate; each of these connections is a tunnel of its own. */
      const connect = async (): Promise<void> => {
        while (!over) {
          const replies = await guest.tcp({ target: target('rotated', 'echo', 9000), send: 'hello', count: 5 })
          for (const { echoed, error } of replies) assert.equal(echoed, 'hello', error)
          connections += replies.length
          await new Promise((resolve) => setTimeout(resolve, 250))
        }
      }
      const inner = await withoutFailure('own namespace', own, load, async () => withoutFailure('another one', guest, load, async () => {
        const [{ stdout, stderr }] = await Promise.all([rotate().finally(() => (over = true)), connect()])
        return `${stdout}${stderr}`
      }))
      const said = inner.result.result
      for (const phase of [/new root is trusted beside the former one/, /new root signs/, /generation \d+: done/]) assert.match(said, phase)

      // The former root counts nowhere, in whatever pods are given either.
      for (const each of [installation.namespace, namespace('rotated'), namespace('guest')]) {
        const roots = await rootsIn(context, each)
        assert.equal(roots.length, 1, each)
        assert.notEqual(roots[0], before, each)
      }
      // To ask for the same again changes nothing.
      const reached = /generation (\d+): done/.exec(said)?.[1] ?? ''
      const again = await rotate('--to', reached)
      assert.match(`${again.stdout}${again.stderr}`, /is reached already/)
      for (const each of [own, guest]) assert.equal((await each.request(url('rotated', 'echo'))).status, 200)
      return `generation ${reached}; ${connections} connections; ${inner.told}; ${inner.result.told}`
    },
  },
])
