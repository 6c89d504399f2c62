import assert from 'node:assert/strict'
import { agentsOf } from '../lib/agents.ts'
import { allCaptured } from '../lib/captured.ts'
import { defineCases } from '../lib/case.ts'
import { service } from '../lib/manifests.ts'
import { onNode } from '../lib/nodes.ts'

const configurations = 'cat /etc/cni/net.d/*.conflist'

/** The last one of all: it takes the agents away for good. */
export const cases = defineCases([
  {
    name: 'captured: when nobody is in the mesh any more, the nodes are as they were, and agents can go',
    features: ['node agent', 'CNI plugin', 'un-install'],
    group: 'captured',
    place: { leaving: { waypoint: false, drivers: { c: 'worker' }, apps: { echo: { version: 'v1' } } } },
    manifests: [service('leaving', 'echo', { app: 'echo' })],
    limitSeconds: 240,
    run: async (context) => {
      const { kube, namespace, url, driver, until, installation, signal, log } = context
      await allCaptured(context, ['leaving'])
      const nodes = (await kube.list('Node')).map(({ metadata }) => metadata.name)
      const chained = await Promise.all(nodes.map((node) => onNode(node, configurations)))
      for (const text of chained) assert.match(text, /waymark-cni/)
      await kube.patch('Namespace', undefined, namespace('leaving'), { metadata: { labels: { 'waymark.dev/mesh': null } } })
      await allCaptured(context, ['leaving'], false)
      await until('namespaces of other cases to be gone', async () =>
        (await kube.list('Namespace', undefined, 'waymark.dev/mesh=enabled')).length === 0, 120_000)
      for (const [at, node] of nodes.entries()) {
        const left = await until(`the plugin to be gone from ${node}`, async () => {
          const text = await onNode(node, configurations)
          return !text.includes('waymark') && text
        }, 30_000)
        const before = JSON.parse(chained[at] ?? '{}') as { readonly plugins: readonly { readonly type: string }[] }
        assert.deepEqual(JSON.parse(left), { ...before, plugins: before.plugins.filter(({ type }) => type !== 'waymark-cni') })
        assert.equal((await onNode(node, 'ls /opt/cni/bin')).includes('waymark'), false)
      }
      await agentsOf(kube, { ...installation }, signal, log).change(false, { membersLeft: true })
      const from = await driver('leaving', 'c')
      const replies = await from.requests({ url: url('leaving', 'echo'), count: 20, fresh: true })
      assert.ok(replies.every(({ status }) => status === 200), JSON.stringify(replies[0]))
    },
  },
])
