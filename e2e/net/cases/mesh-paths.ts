import assert from 'node:assert/strict'
import { isIPv6 } from 'node:net'
import { namespaceObject, namespaceOf } from '../lib/objects.ts'
import { pods, services, shell } from '../lib/topology.ts'
import { applicationPorts } from '../testing/protocol.ts'
import { answered, refused } from './case.ts'
import { meshCases, tells } from './mesh-case.ts'

const { lines, first, sink, datagrams } = applicationPorts
const captured = ['a', 'k', 'b', 'c'] as const
const toC = { host: services.c.address, port: 80 }
const at = (host: string, port: number): string => (isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`)

/** What goes between the nodes to the applications' own ports, in packets. */
const plainOnTheWire = (): number =>
  [...shell('ip netns exec node1 nft list table inet watch').matchAll(/packets (\d+)/g)].reduce((sum, [, packets]) => sum + Number(packets), 0)

/** Where connections go with the whole mesh, how they travel, and whom applications see. */
export const cases = meshCases([
  {
    name: 'connections that were open before a namespace is enrolled go on; new ones are captured',
    run: async (world) => {
      const { rig, mesh, agents } = world
      const out = await rig.pods.a.ask('open', toC)
      const into = await rig.pods.stranger.ask('open', { host: services.a.address6, port: 80 })
      answered(await rig.pods.a.ask('use', out), 'c', pods.a.address)
      ;[agents[1], agents[2]] = await Promise.all([mesh.agent(1), mesh.agent(2)])
      await mesh.control('put', ['front', 'back'].map((name) => namespaceObject(name, true)))
      await mesh.captured(captured)
      const told = await tells(world, 3, async () => {
        answered(await rig.pods.a.ask('use', out), 'c', pods.a.address)
        answered(await rig.pods.stranger.ask('use', into), 'a', pods.stranger.address6)
        answered(await rig.pods.a.ask('ask', toC), 'c', pods.a.address)
        answered(await rig.pods.stranger.ask('ask', { host: services.a.address, port: 80 }), 'a', pods.stranger.address)
      })
      assert.deepEqual(told, ['inbound front/a → 10.61.2.10:8080 mtls', 'outbound front/a → 10.96.0.4:80 mtls endpoint', 'plaintext ? → 10.61.1.10:8080 plain'])
    },
  },
  {
    name: 'every captured pod reaches every other by cluster IP and by its own address, IPv4 and IPv6, by mutual TLS alone, and is seen as itself',
    run: async (world) => {
      const ways = captured.flatMap((from) => captured.filter((to) => to !== from).flatMap((to) =>
        ([[services[to].address, 80], [services[to].address6, 80], [pods[to].address, lines], [pods[to].address6, lines]] as const).map(([host, port]) => ({ from, to, host, port }))))
      const expected = ways.flatMap(({ from, to, host, port }) => {
        const id = `${namespaceOf[from]}/${from}`
        return [`outbound ${id} → ${at(host, port)} mtls endpoint`, `inbound ${id} → ${at(isIPv6(host) ? pods[to].address6 : pods[to].address, lines)} mtls`]
      })
      shell('ip netns exec node1 nft -f -', `table inet watch { chain wire { type filter hook forward priority 0; iifname "eth0" tcp sport ${lines} counter; oifname "eth0" tcp dport ${lines} counter; }\n}`)
      try {
        const told = await tells(world, expected.length, async () => {
          const replies = await Promise.all(ways.map(({ from, host, port }) => world.rig.pods[from].ask('ask', { host, port })))
          const seen = replies.map((reply) => ('error' in reply ? reply.error : `${reply.pod} saw ${reply.peer}`))
          assert.deepEqual(seen, ways.map(({ from, to, host }) => `${to} saw ${isIPv6(host) ? pods[from].address6 : pods[from].address}`))
        })
        assert.deepEqual(told, expected.sort())
        assert.equal(plainOnTheWire(), 0)
      } finally {
        shell('ip netns exec node1 nft delete table inet watch')
      }
    },
  },
  {
    name: 'what is not in the mesh is reached in plain and reaches in plain, by both families, and addresses that nobody knows are passed on',
    run: async (world) => {
      const { rig } = world
      const told = await tells(world, 7, async () => {
        for (const host of [services.stranger.address, services.stranger.address6]) {
          answered(await rig.pods.a.ask('ask', { host, port: 80 }), 'stranger', host.includes(':') ? pods.a.address6 : pods.a.address)
        }
        answered(await rig.pods.a.ask('ask', { host: '10.61.2.1', port: lines }), 'node2', pods.a.address)
        answered(await rig.pods.stranger.ask('ask', { host: services.k.address, port: 80 }), 'k', pods.stranger.address)
        answered(await rig.pods.stranger.ask('ask', { host: services.k.address6, port: 80 }), 'k', pods.stranger.address6)
        answered(await rig.pods.plain.ask('ask', { host: pods.b.address, port: lines }), 'b', pods.plain.address)
        answered(await rig.pods.plain.ask('ask', { host: pods.b.address6, port: lines }), 'b', pods.plain.address6)
      })
      assert.deepEqual(told, [
        'outbound front/a → 10.96.0.5:80 plain endpoint', 'outbound front/a → 10.61.2.1:8080 plain outside', 'outbound front/a → [fd00:96::5]:80 plain endpoint',
        'plaintext ? → 10.61.1.11:8080 plain', 'plaintext ? → 10.61.3.12:8080 plain', 'plaintext ? → [fd00:61:1::11]:8080 plain', 'plaintext ? → [fd00:61:3::12]:8080 plain',
      ].sort())
    },
  },
  {
    name: 'connections of one client in plain do not get into each other\'s way, whatever ports it and the agent choose',
    run: async ({ rig }) => {
      const ports = (range: string): void => void shell(['stranger', 'c'].map((name) => `ip netns exec ${name} sysctl -qw net.ipv4.ip_local_port_range="${range}"`).join('\n'))
      // So few that the same ones are chosen on both sides: on two machines that happens by chance.
      ports('40000 40127')
      try {
        for (const [host, peer] of [[pods.c.address, pods.stranger.address], [pods.c.address6, pods.stranger.address6]] as const) {
          const kept = await Promise.all(Array.from({ length: 24 }, () => rig.pods.stranger.ask('open', { host, port: lines })))
          for (const each of kept) answered(await rig.pods.stranger.ask('use', each), 'c', peer)
          for (let count = 0; count < 10; count++) answered(await rig.pods.stranger.ask('ask', { host, port: lines }), 'c', peer)
          for (const each of kept) answered(await rig.pods.stranger.ask('use', each), 'c', peer)
          for (const each of kept) await rig.pods.stranger.ask('shut', each)
        }
      } finally {
        ports('32768 60999')
      }
    },
  },
  {
    name: 'a pod\'s own address, loopback and UDP pass by, and a pod reaches its own Service by mutual TLS',
    run: async (world) => {
      const { rig } = world
      const told = await tells(world, 4, async () => {
        for (const host of [pods.a.address, pods.a.address6, '127.0.0.1', '::1']) answered(await rig.pods.a.ask('ask', { host, port: lines }), 'a', host)
        answered(await rig.pods.a.ask('datagram', { host: pods.c.address, port: datagrams }), 'c', pods.a.address)
        answered(await rig.pods.k.ask('datagram', { host: pods.c.address6, port: datagrams }), 'c', pods.k.address6)
        answered(await rig.pods.a.ask('ask', { host: services.a.address, port: 80 }), 'a', pods.a.address)
        answered(await rig.pods.k.ask('ask', { host: services.k.address6, port: 80 }), 'k', pods.k.address6)
      })
      assert.deepEqual(told, [
        'inbound front/a → 10.61.1.10:8080 mtls', 'inbound front/k → [fd00:61:1::11]:8080 mtls',
        'outbound front/a → 10.96.0.1:80 mtls endpoint', 'outbound front/k → [fd00:96::2]:80 mtls endpoint',
      ])
    },
  },
  {
    name: 'applications that speak first are heard, what is sent before half of a connection closes is answered in full, and what is refused is reset',
    run: async ({ rig }) => {
      for (const host of [pods.c.address, pods.c.address6]) {
        const peer = isIPv6(host) ? pods.k.address6 : pods.k.address
        answered(await rig.pods.k.ask('listenFirst', { host, port: first }), 'c', peer)
        for (const bytes of [0, 100_000, 20_000_000]) assert.deepEqual(await rig.pods.k.ask('upload', { host, port: sink, bytes }), { pod: 'c', peer, bytes })
        refused(await rig.pods.k.ask('ask', { host, port: 9 }))
      }
      for (const host of ['10.96.0.99', 'fd00:96::99']) refused(await rig.pods.a.ask('ask', { host, port: 80 }))
    },
  },
  {
    name: 'probes of the node pass, whatever the kind of pod and family, and show the address for probes',
    run: async ({ rig }) => {
      for (const name of ['a', 'k', 'b'] as const) {
        answered(await rig.nodes[1].ask('ask', { host: pods[name].address, port: lines }), name, '169.254.7.127')
        answered(await rig.nodes[1].ask('ask', { host: pods[name].address6, port: lines }), name, 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff')
      }
    },
  },
])
