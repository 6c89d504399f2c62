import assert from 'node:assert/strict'
import { readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { namespaceObject, podObject } from '../lib/objects.ts'
import { until } from '../lib/mesh.ts'
import { pods, services, shell } from '../lib/topology.ts'
import { applicationPorts } from '../testing/protocol.ts'
import { answered } from './case.ts'
import { meshCases, settles } from './mesh-case.ts'

const { lines } = applicationPorts
const toC = { host: services.c.address, port: 80 }

/** All that the mesh has in a pod. */
const inPod = (pod: string): string => shell([
  `ip netns exec ${pod} nft list ruleset`,
  `for family in -4 -6; do ip -n ${pod} $family rule; ip -n ${pod} $family route show table 15006 2>/dev/null || true; done`,
  `ip netns exec ${pod} ss -Hltn 'sport = 15001 or sport = 15006 or sport = 15008' | sort`,
].join('\n'))

const damages = [
  ['a', 'nft flush ruleset'], ['a', 'nft flush chain inet waymark outbound'], ['a', 'nft insert rule inet waymark outbound accept'],
  ['k', 'ip rule del priority 15006; ip -6 rule del priority 15006'], ['k', 'ip -6 route flush table 15006'], ['k', 'nft add table inet waymark "{ flags dormant; }"'],
  ['b', 'ss -K -lt "sport = 15001 or sport = 15006"'], ['b', 'ss -K -lt "sport = 15008"'], ['b', 'nft delete table inet waymark'],
] as const

/** What somebody with NET_ADMIN in a pod, or root on a node, takes away comes back. */
export const cases = meshCases([
  {
    name: 'what somebody in a pod takes away of its capture is soon back: tables, rules, routes, listeners',
    run: async (world) => {
      const { rig, agents } = world
      const names = ['a', 'k', 'b'] as const
      const whole = Object.fromEntries(names.map((name) => [name, inPod(name)]))
      for (const round of [0, 1, 2]) {
        for (const name of names) {
          const [, damage] = damages.filter(([pod]) => pod === name)[round] ?? []
          shell(`ip netns exec ${name} sh -c '${damage ?? 'false'}'`)
        }
        const noticed = (name: string): number => agents[1].said.filter((line) => line.includes(`pod front/${name}: somebody in it had changed`)).length
        for (const name of names) await until(() => `round ${round}, ${name}: ${inPod(name)}; ${agents[1].said.join('; ')}`, () => noticed(name) > round && inPod(name) === whole[name])
      }
      for (const name of names) {
        await settles(world, name, toC, (reply) => !('error' in reply))
        answered(await rig.pods[name].ask('ask', { host: services.c.address6, port: 80 }), 'c', pods[name].address6)
        answered(await rig.pods.stranger.ask('ask', { host: pods[name].address6, port: lines }), name, pods.stranger.address6)
        answered(await rig.pods.c.ask('ask', { host: pods[name].address, port: lines }), name, pods.c.address)
      }
    },
  },
  {
    name: 'what somebody takes away of the node\'s own rules is soon back, and probes pass again; tables of others are left alone',
    run: async ({ rig }) => {
      const before = shell('ip netns exec node1 nft list ruleset')
      shell('ip netns exec node1 nft delete table inet waymark')
      await until(() => 'the node\'s rules stay away', () => shell('ip netns exec node1 nft list tables').includes('inet waymark'))
      assert.deepEqual(shell('ip netns exec node1 nft list ruleset'), before)
      answered(await rig.nodes[1].ask('ask', { host: pods.a.address, port: lines }), 'a', '169.254.7.127')
    },
  },
  {
    name: 'pods whose namespace left the mesh while no agent ran are free as soon as one does; others stay captured',
    run: async (world) => {
      const { rig, mesh, agents } = world
      await agents[1].kill()
      await mesh.control('put', [namespaceObject('front', false)])
      assert.ok('error' in (await rig.pods.k.ask('ask', { host: pods.stranger.address, port: lines })))
      agents[1] = await mesh.agent(1)
      for (const name of ['a', 'k', 'b'] as const) await settles(world, name, { host: services.stranger.address6, port: 80 }, (reply) => !('error' in reply) && reply.pod === 'stranger')
      await settles(world, 'stranger', { host: pods.k.address, port: lines }, (reply) => !('error' in reply))
      answered(await rig.pods.a.ask('ask', toC), 'c', pods.a.address)
    },
  },
  {
    name: 'the plugin of CNI holds the start of a pod of the mesh until it is captured, and of no other',
    run: async ({ mesh }) => {
      const { namespaces, binaries } = mesh.paths(2)
      const start = (namespace: string, name: string): string => shell([
        `export CNI_COMMAND=ADD CNI_CONTAINERID=${name} CNI_NETNS=/run/netns/${name} CNI_IFNAME=eth0`,
        `export 'CNI_ARGS=K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name};K8S_POD_UID=uid-${name}'`,
        `ip netns exec node2 ${binaries}/waymark-cni`,
      ].join('\n'), '{"cniVersion":"1.0.0","name":"rig","type":"waymark-cni","prevResult":{"cniVersion":"1.0.0","ips":[]}}')
      const names = { late: 'back', other: 'outside' } as const
      try {
        for (const [name, namespace] of Object.entries(names)) {
          shell(`ip netns add ${name}; ip -n ${name} link set lo up`)
          symlinkSync(`/run/netns/${name}`, `${namespaces}/${name}`)
          await mesh.control('put', [podObject({ namespace, name, node: 2, addresses: [] })])
          assert.deepEqual(JSON.parse(start(namespace, name)), { cniVersion: '1.0.0', ips: [] })
        }
        assert.match(shell('ip netns exec late nft list ruleset; ip netns exec late ss -Hltn'), /redirect to :15001[^]*redirect to :15006[^]*:15008/)
        assert.equal(shell('ip netns exec other nft list ruleset'), '')
      } finally {
        for (const [name, namespace] of Object.entries(names)) {
          await mesh.control('delete', { kind: 'Pod', namespace, name })
          rmSync(`${namespaces}/${name}`, { force: true })
          shell(`ip netns del ${name} || true`)
        }
      }
    },
  },
  {
    name: 'agents that retire leave nothing behind, whatever is enrolled: pods speak plain, start without asking, and keep what was open for a while',
    run: async ({ rig, mesh, agents }) => {
      const chained = (): string => readFileSync(`${mesh.paths(2).configurations}/10-rig.conflist`, 'utf8')
      const asked = (): readonly string[] => readdirSync(`${mesh.paths(2).host}/cni/namespaces`)
      assert.match(chained(), /waymark-cni/)
      assert.deepEqual(asked(), ['back'])
      const retiring = await mesh.agent(2, ['--retire', '--drain', '2'])
      // It puts some of it back until it has gone.
      await agents[2].stop()
      await until(() => `something is left: ${retiring.said.join('; ')}`, () => retiring.said.at(-1)?.includes('nothing of the mesh is left') === true)
      assert.deepEqual([chained().includes('waymark-cni'), asked(), inPod('c').includes('waymark'), shell('ip netns exec node2 nft list tables').includes('inet waymark')], [false, [], false, false])
      answered(await rig.pods.stranger.ask('ask', { host: pods.c.address6, port: lines }), 'c', pods.stranger.address6)
      answered(await rig.pods.c.ask('ask', { host: services.stranger.address, port: 80 }), 'stranger', pods.c.address)
      await retiring.stop()
    },
  },
])
