import assert from 'node:assert/strict'
import type { KubeObject } from '../../../src/kube/object.ts'
import { gateway, namespaceObject } from '../lib/objects.ts'
import { until } from '../lib/mesh.ts'
import { pods, services, shell } from '../lib/topology.ts'
import { applicationPorts, type Reply } from '../testing/protocol.ts'
import { answered, nothingArrives, refused } from './case.ts'
import { meshCases, settles, short, tells } from './mesh-case.ts'

const { lines } = applicationPorts
const toC = { host: services.c.address, port: 80 }
const policy = (kind: string, spec: object): readonly KubeObject[] => [{
  apiVersion: 'policy.waymark.dev/v1alpha1', kind, metadata: { namespace: 'back', name: 'rig', generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' }, spec,
}]
const isRefused = (reply: Reply): boolean => 'error' in reply
const isAnswered = (reply: Reply): boolean => !isRefused(reply)

/** What holds when the mesh is strict, judges, is led through a waypoint, loses parts of itself, and is left. */
export const cases = meshCases([
  {
    name: 'in strict mode plaintext is refused from everywhere and nothing of it arrives; members and probes get in',
    run: async (world) => {
      const { rig, mesh } = world
      await mesh.control('put', policy('MTLSPolicy', { mode: 'Strict' }))
      await settles(world, 'stranger', { host: pods.c.address, port: lines }, isRefused)
      await nothingArrives(world.rig, 'c', async () => {
        for (const host of [pods.c.address, pods.c.address6]) {
          for (const from of ['stranger', 'plain'] as const) refused(await rig.pods[from].ask('ask', { host, port: lines }))
          refused(await rig.nodes[1].ask('ask', { host, port: lines }))
        }
        refused(await rig.pods.stranger.ask('ask', toC))
      })
      for (const host of [pods.c.address, pods.c.address6]) {
        answered(await rig.pods.k.ask('ask', { host, port: lines }), 'c', host === pods.c.address ? pods.k.address : pods.k.address6)
        answered(await rig.nodes[2].ask('ask', { host, port: lines }), 'c', host === pods.c.address ? '169.254.7.127' : 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff')
      }
      await mesh.control('delete', { kind: 'MTLSPolicy', namespace: 'back', name: 'rig' })
      await settles(world, 'stranger', { host: pods.c.address6, port: lines }, isAnswered)
    },
  },
  {
    name: 'a policy about callers holds for every way to the pod, and cuts connections that it would not let in',
    run: async (world) => {
      const { rig, mesh } = world
      const kept = await rig.pods.k.ask('open', toC)
      answered(await rig.pods.k.ask('use', kept), 'c', pods.k.address)
      await mesh.control('put', policy('AuthorizationPolicy', { action: 'Allow', rules: [{ from: [{ serviceAccounts: ['front/a'] }] }] }))
      await settles(world, 'k', toC, isRefused)
      assert.ok(isRefused(await rig.pods.k.ask('use', kept)))
      await nothingArrives(world.rig, 'c', async () => {
        for (const host of [pods.c.address, pods.c.address6]) for (const from of ['k', 'b', 'stranger'] as const) refused(await rig.pods[from].ask('ask', { host, port: lines }))
      })
      answered(await rig.pods.a.ask('ask', toC), 'c', pods.a.address)
      answered(await rig.pods.a.ask('ask', { host: pods.c.address6, port: lines }), 'c', pods.a.address6)
      await mesh.control('delete', { kind: 'AuthorizationPolicy', namespace: 'back', name: 'rig' })
      await settles(world, 'k', toC, isAnswered)
    },
  },
  {
    name: 'with a waypoint, its Services are reached through it and no longer without it; pods by their own address are not',
    run: async (world) => {
      const { rig, mesh } = world
      await mesh.control('put', [gateway('back')])
      const waypoint = await mesh.waypoint('back')
      const before = world.agents[1].lines.length
      await until(() => 'nothing goes through the waypoint', async () => {
        await rig.pods.a.ask('ask', toC)
        return world.agents[1].lines.slice(before).some(({ via, outcome }) => via === 'waypoint' && outcome === 'allowed')
      })
      const told = await tells(world, 3, async () => {
        for (const host of [services.c.address, services.c.address6]) assert.ok(isAnswered(await rig.pods.k.ask('ask', { host, port: 80 })))
        answered(await rig.pods.k.ask('ask', { host: pods.c.address, port: lines }), 'c', pods.k.address)
      }, 'outbound front/k')
      assert.deepEqual(told, [
        'outbound front/k → 10.61.2.10:8080 mtls endpoint', 'outbound front/k → 10.96.0.4:80 mtls waypoint', 'outbound front/k → [fd00:96::4]:80 mtls waypoint',
      ])
      await waypoint.stop()
      const inbound = (): readonly string[] => world.agents[2].lines.slice(-9).map(short)
      await until(() => `of the waypoint's connections nothing is told: ${inbound().join('; ')}`, () => inbound().some((line) => /^inbound back.waypoint-\d+ → 10\.61\.2\.10:8080 mtls$/.test(line)))
      await nothingArrives(world.rig, 'c', async () => {
        for (const host of [services.c.address, services.c.address6]) refused(await rig.pods.k.ask('ask', { host, port: 80 }))
      })
      await mesh.control('delete', { kind: 'Gateway', namespace: 'back', name: 'waypoint' })
      await settles(world, 'k', toC, isAnswered)
    },
  },
  {
    name: 'behind a waypoint, the first policy comes and the last one goes without a failed connection of those whom it allows',
    run: async (world) => {
      const { rig, mesh, agents } = world
      await mesh.control('put', [gateway('back')])
      const waypoint = await mesh.waypoint('back')
      const judged = (): boolean => agents[2].lines.slice(-20).some((line) => short(line) === 'inbound front/k → 10.61.2.10:8080 mtls')
      const unknown = (): boolean => agents[2].lines.slice(-20).some((line) => /^inbound back.waypoint-\d+ → 10\.61\.2\.10:8080 mtls$/.test(short(line)))
      const load = rig.pods.k.ask('churn', { ...toC, parallel: 3 })
      await until(() => 'nothing goes through the waypoint', unknown)
      await mesh.control('put', policy('AuthorizationPolicy', { action: 'Allow', rules: [{ from: [{ serviceAccounts: ['front/k'] }] }] }))
      await until(() => 'the waypoint does not say for whom it comes', judged)
      await settles(world, 'a', toC, isRefused)
      await new Promise((resolve) => setTimeout(resolve, 1_200))
      await mesh.control('delete', { kind: 'AuthorizationPolicy', namespace: 'back', name: 'rig' })
      await settles(world, 'a', toC, isAnswered)
      await rig.pods.k.ask('halt', {})
      const { done, failed } = await load
      assert.deepEqual(failed, {}, `of ${done}`)
      await mesh.control('delete', { kind: 'Gateway', namespace: 'back', name: 'waypoint' })
      await settles(world, 'k', toC, isAnswered)
      await waypoint.stop()
    },
  },
  {
    name: 'agents are replaced on both nodes without a failed connection',
    run: async (world) => {
      const { rig, mesh, agents } = world
      const load = Promise.all([
        rig.pods.a.ask('churn', { ...toC, parallel: 3 }),
        rig.pods.k.ask('churn', { host: pods.c.address6, port: lines, parallel: 3 }),
        rig.pods.stranger.ask('churn', { host: services.a.address, port: 80, parallel: 3 }),
      ])
      const next = await Promise.all([mesh.agent(1), mesh.agent(2)])
      await Promise.all([agents[1].stop(), agents[2].stop()])
      ;[agents[1], agents[2]] = next
      await new Promise((resolve) => setTimeout(resolve, 200))
      for (const name of ['a', 'k', 'stranger'] as const) await rig.pods[name].ask('halt', {})
      const results = await load
      assert.deepEqual(results.map(({ failed }) => failed), [{}, {}, {}], `of ${results.map(({ done }) => done).join(', ')}`)
      assert.ok(results.every(({ done }) => done >= 10), `only ${results.map(({ done }) => done).join(', ')} connections`)
    },
  },
  {
    name: 'with an agent killed, its pods are refused in both directions and nothing passes in plain; the next one takes them over',
    run: async (world) => {
      const { rig, mesh, agents } = world
      await agents[1].kill()
      await nothingArrives(world.rig, 'c', async () => {
        for (const from of ['a', 'k', 'b'] as const) {
          for (const target of [toC, { host: services.c.address6, port: 80 }, { host: pods.c.address, port: lines }, { host: pods.c.address6, port: lines }]) refused(await rig.pods[from].ask('ask', target))
        }
      })
      await nothingArrives(world.rig, 'a', async () => {
        for (const host of [pods.a.address, pods.a.address6]) for (const from of ['c', 'plain', 'stranger'] as const) refused(await rig.pods[from].ask('ask', { host, port: lines }))
      })
      answered(await rig.nodes[1].ask('ask', { host: pods.a.address6, port: lines }), 'a', 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff')
      agents[1] = await mesh.agent(1)
      answered(await rig.pods.a.ask('ask', toC), 'c', pods.a.address)
      answered(await rig.pods.c.ask('ask', { host: pods.a.address6, port: lines }), 'a', pods.c.address6)
    },
  },
  {
    name: 'pods whose namespace leaves the mesh keep what is open, are captured no more, and nothing of it stays in them',
    run: async (world) => {
      const { rig, mesh } = world
      const out = await rig.pods.a.ask('open', toC)
      await mesh.control('put', [namespaceObject('front', false)])
      await mesh.captured(['a', 'k', 'b'], false)
      answered(await rig.pods.a.ask('use', out), 'c', pods.a.address)
      const before = world.agents[1].lines.length
      await until(() => `rules stay: ${shell('ip netns exec k nft list ruleset')}`, () => shell('ip netns exec k nft list ruleset; ip netns exec b nft list ruleset') === '')
      answered(await rig.pods.a.ask('use', out), 'c', pods.a.address)
      answered(await rig.pods.k.ask('ask', toC), 'c', pods.k.address)
      answered(await rig.pods.c.ask('ask', { host: services.k.address6, port: 80 }), 'k', pods.c.address6)
      await rig.pods.a.ask('shut', out)
      await until(() => `rules stay: ${shell('ip netns exec a nft list ruleset')}`, () => shell('ip netns exec a nft list ruleset') === '')
      // The node's own rules go with the last pod that needs them.
      await until(() => 'the node still has rules', () => !shell('ip netns exec node1 nft list tables').includes('inet waymark'))
      assert.match(shell('ip netns exec node2 nft list tables'), /inet waymark/)
      assert.deepEqual(world.agents[1].lines.slice(before).map(short), ['outbound front/a → 10.96.0.4:80 mtls endpoint'])
    },
  },
  {
    name: 'a pod that comes back while connections of before still go on is captured at once, and they go on',
    run: async (world) => {
      const { rig, mesh, agents } = world
      await mesh.control('put', [namespaceObject('front', true)])
      await mesh.captured(['a', 'k', 'b'])
      const out = await rig.pods.a.ask('open', toC)
      answered(await rig.pods.a.ask('use', out), 'c', pods.a.address)
      await mesh.control('put', [namespaceObject('front', false)])
      const redirects = (): boolean => shell('ip netns exec a nft list ruleset').includes('redirect to :15001')
      await until(() => 'the pod does not leave', () => !redirects())
      await mesh.control('put', [namespaceObject('front', true)])
      await mesh.captured(['a', 'k', 'b'])
      answered(await rig.pods.a.ask('use', out), 'c', pods.a.address)
      assert.ok(redirects())
      assert.deepEqual(await tells(world, 1, async () => answered(await rig.pods.a.ask('ask', toC), 'c', pods.a.address), 'outbound'), ['outbound front/a → 10.96.0.4:80 mtls endpoint'])
      const before = agents[1].lines.length
      await rig.pods.a.ask('shut', out)
      await until(() => 'of the old connection nothing is told', () => agents[1].lines.length > before)
      // Longer than what is left of the old capture lives, which must not take the new one's rules along.
      await new Promise((resolve) => setTimeout(resolve, 1_500))
      assert.ok(redirects())
      answered(await rig.pods.c.ask('ask', { host: pods.a.address6, port: lines }), 'a', pods.c.address6)
    },
  },
])
