import assert from 'node:assert/strict'
import { markOf } from '../lib/agent.ts'
import { pods, services, shell } from '../lib/topology.ts'
import { applicationPorts } from '../testing/protocol.ts'
import { answered, netCases, nothingArrives, refused } from './case.ts'

const { lines, sink, datagrams } = applicationPorts
const toC = { host: services.c.address, port: 80 }

/** What holds when agents are dead, strict, replaced, come and go. */
export const cases = netCases([
  {
    name: 'with the agent dead, captured pods are refused at once, in both directions, and nothing passes in plaintext',
    run: async (rig) => {
      await rig.bare()
      const agent = await rig.agent(1, ['a', 'k', 'b'])
      answered(await rig.pods.a.ask('ask', toC), 'c', pods.a.address)
      await agent.kill()
      await nothingArrives(rig, 'c', async () => {
        for (const from of ['a', 'k', 'b'] as const) {
          for (const host of [services.c.address, services.c.address6, pods.c.address, pods.c.address6]) {
            refused(await rig.pods[from].ask('ask', { host, port: host.includes('96') ? 80 : lines }))
          }
        }
      })
      await nothingArrives(rig, 'a', async () => {
        for (const from of ['plain', 'stranger', 'c'] as const) refused(await rig.pods[from].ask('ask', { host: pods.a.address, port: lines }))
        refused(await rig.pods.stranger.ask('ask', { host: pods.a.address6, port: lines }))
      })
      answered(await rig.pods.a.ask('ask', { host: '127.0.0.1', port: lines }), 'a', '127.0.0.1')
      answered(await rig.pods.a.ask('datagram', { host: pods.c.address, port: datagrams }), 'c', pods.a.address)
    },
  },
  {
    name: 'an agent that comes back after its death captures again, and what was open is reset, not passed on',
    run: async (rig) => {
      await rig.bare()
      const agent = await rig.agent(1, ['a'])
      const { id } = await rig.pods.a.ask('open', toC)
      answered(await rig.pods.a.ask('use', { id }), 'c', pods.a.address)
      await agent.kill()
      await rig.agent(1, ['a'])
      assert.ok('error' in (await rig.pods.a.ask('use', { id })))
      answered(await rig.pods.a.ask('ask', toC), 'c', pods.a.address)
    },
  },
  {
    name: 'in strict mode plaintext is refused from every pod and from other nodes, and nothing of it arrives',
    run: async (rig) => {
      await rig.bare()
      await rig.agent(1, ['a'], { strict: true })
      await nothingArrives(rig, 'a', async () => {
        for (const from of ['k', 'plain', 'c', 'stranger'] as const) refused(await rig.pods[from].ask('ask', { host: services.a.address, port: 80 }))
        refused(await rig.nodes[2].ask('ask', { host: pods.a.address, port: lines }))
        refused(await rig.nodes[2].ask('ask', { host: pods.a.address6, port: lines }))
      })
    },
  },
  {
    name: 'probes of the node pass in strict mode and with the agent dead, in every kind of pod, and show the address for probes',
    run: async (rig) => {
      await rig.bare()
      const probe = async (): Promise<void> => {
        for (const name of ['a', 'k', 'b'] as const) {
          answered(await rig.nodes[1].ask('ask', { host: pods[name].address, port: lines }), name, '169.254.7.127')
          answered(await rig.nodes[1].ask('ask', { host: pods[name].address6, port: lines }), name, 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff')
        }
      }
      const agent = await rig.agent(1, ['a', 'k', 'b'], { strict: true })
      await probe()
      await agent.kill()
      await probe()
      // What they pass by.
      shell('ip netns exec node1 nft delete table inet waymark')
      refused(await rig.nodes[1].ask('ask', { host: pods.a.address, port: lines }))
    },
  },
  {
    name: 'who forges the address for probes does not get in',
    run: async (rig) => {
      await rig.bare()
      await rig.agent(1, ['a'], { strict: true })
      // As if the node's routes led answers to whoever forged it.
      shell('ip -n plain addr add 169.254.7.127/32 dev eth0; ip -n plain route add 10.61.1.10/32 via 10.61.3.1 src 169.254.7.127; ip -n node1 route add 169.254.7.127/32 dev br0')
      try {
        await nothingArrives(rig, 'a', async () => {
          assert.ok('error' in (await rig.pods.plain.ask('ask', { host: pods.a.address, port: lines, patienceMs: 1_000 })))
        })
      } finally {
        shell('ip -n plain route del 10.61.1.10/32; ip -n plain addr del 169.254.7.127/32 dev eth0; ip -n node1 route del 169.254.7.127/32')
      }
    },
  },
  {
    name: 'connections straight to the agent\'s listeners are refused, from within and from elsewhere, and it does not turn upon itself',
    run: async (rig) => {
      const agents = await rig.everywhere()
      await agents[1].captured()
      for (const port of [15_001, 15_006]) {
        for (const host of [pods.a.address, pods.a.address6, '127.0.0.1', '::1']) refused(await rig.pods.a.ask('ask', { host, port }))
        for (const from of ['k', 'c', 'plain', 'stranger'] as const) {
          refused(await rig.pods[from].ask('ask', { host: pods.a.address, port }))
          refused(await rig.pods[from].ask('ask', { host: pods.a.address6, port }))
        }
        // The node itself is let through, up to the listener.
        refused(await rig.nodes[1].ask('ask', { host: pods.a.address, port }))
      }
      const seen = await agents[1].captured()
      assert.ok(seen.length <= 8, `captured: ${seen.join(', ')}`)
    },
  },
  {
    name: 'connections that are open when a pod is captured go on, and when it is released too; new ones are captured in between',
    run: async (rig) => {
      await rig.bare()
      const out = await rig.pods.a.ask('open', toC)
      const into = await rig.pods.stranger.ask('open', { host: services.a.address, port: 80 })
      answered(await rig.pods.a.ask('use', out), 'c', pods.a.address)
      const agents = [await rig.agent(1, ['a']), await rig.agent(2, ['c'])]
      answered(await rig.pods.a.ask('use', out), 'c', pods.a.address)
      answered(await rig.pods.stranger.ask('use', into), 'a', pods.stranger.address)
      answered(await rig.pods.a.ask('ask', toC), 'c', pods.a.address)
      const captured = await Promise.all(agents.map((agent) => agent.captured()))
      assert.deepEqual(captured, [['outbound a → 10.96.0.4:80'], ['inbound c → 10.61.2.10:8080']])
      await rig.bare()
      answered(await rig.pods.a.ask('use', out), 'c', pods.a.address)
      answered(await rig.pods.stranger.ask('use', into), 'a', pods.stranger.address)
    },
  },
  {
    name: 'a pod that leaves keeps the connections that were captured until they are done, and new ones are captured no more',
    run: async (rig) => {
      await rig.bare()
      const agent = await rig.agent(1, ['a'])
      const out = await rig.pods.a.ask('open', toC)
      const into = await rig.pods.stranger.ask('open', { host: services.a.address, port: 80 })
      const use = async (): Promise<void> => {
        answered(await rig.pods.a.ask('use', out), 'c', pods.a.address)
        answered(await rig.pods.stranger.ask('use', into), 'a', pods.stranger.address)
      }
      await use()
      assert.equal((await agent.captured()).length, 2)
      await agent.tell('relax')
      await use()
      answered(await rig.pods.a.ask('ask', toC), 'c', pods.a.address)
      answered(await rig.pods.stranger.ask('ask', { host: services.a.address6, port: 80 }), 'a', pods.stranger.address6)
      assert.deepEqual(await agent.captured(), [])
      await use()
      await agent.tell('release')
      assert.equal(shell('ip netns exec a nft list ruleset'), '')
      answered(await rig.pods.a.ask('ask', toC), 'c', pods.a.address)
      assert.deepEqual(await agent.captured(), [])
    },
  },
  {
    name: 'guessed marks do not get past; the agent\'s own would, and nothing in the pod shows it',
    run: async (rig) => {
      await rig.bare()
      const agent = await rig.agent(1, ['a'])
      for (const mark of [1, 0x539, 0x111, 0x1337, 15_001, 0xffff_ffff, markOf('a') ^ 0x8000_0000, markOf('a') ^ 1]) {
        const reply = await rig.pods.a.ask('marked', { ...toC, mark })
        // 0x111 is routed back into the pod, and so gets nowhere.
        if (mark !== 0x111) answered(reply, 'c', pods.a.address)
        const captured = await agent.captured()
        assert.ok(captured.length === 1 || 'error' in reply, `${mark} got past`)
      }
      answered(await rig.pods.a.ask('marked', { ...toC, mark: markOf('a') }), 'c', pods.a.address)
      assert.deepEqual(await agent.captured(), [])
      const { id } = await rig.pods.a.ask('open', toC)
      const tracked = shell('ip netns exec a cat /proc/net/nf_conntrack 2>/dev/null || true')
      assert.ok(!tracked.includes(String(markOf('a'))), 'the mark can be read in the pod')
      answered(await rig.pods.a.ask('use', { id }), 'c', pods.a.address)
    },
  },
  {
    name: 'a planned restart fails no connection',
    run: async (rig) => {
      await rig.bare()
      // A connection may take long on a busy machine.
      const patient = { drainMs: 10_000 }
      let [one, two] = await Promise.all([rig.agent(1, ['a'], patient), rig.agent(2, ['c'], patient)])
      const load = Promise.all([
        rig.pods.a.ask('churn', { ...toC, parallel: 4 }),
        rig.pods.stranger.ask('churn', { host: services.a.address, port: 80, parallel: 4 }),
      ])
      for (let restart = 0; restart < 2; restart++) {
        const [nextOne, nextTwo] = await Promise.all([rig.agent(1, ['a'], patient), rig.agent(2, ['c'], patient)])
        await Promise.all([one.stop(), two.stop()])
        ;[one, two] = [nextOne, nextTwo]
      }
      await Promise.all([rig.pods.a.ask('halt', {}), rig.pods.stranger.ask('halt', {})])
      const results = await load
      const done = results.map((each) => each.done)
      assert.deepEqual(results.map((each) => each.failed), [{}, {}], `of ${done.join(' and ')}`)
      assert.ok(done.every((each) => each >= 20), `only ${done.join(' and ')} connections`)
    },
  },
  {
    name: 'a pod that has a port of the agent is not captured, which is told, and the others are',
    run: async (rig) => {
      await rig.bare()
      await rig.pods.k.ask('take', { port: 15_006 })
      try {
        const agent = await rig.agent(1, ['k', 'a'])
        const failures = agent.events.filter((each) => each.event === 'failed')
        assert.deepEqual(failures.map((each) => each.pod), ['k'])
        assert.match(failures[0]?.message ?? '', /EADDRINUSE/)
        answered(await rig.pods.k.ask('ask', toC), 'c', pods.k.address)
        answered(await rig.pods.a.ask('ask', toC), 'c', pods.a.address)
        assert.deepEqual(await agent.captured(), ['outbound a → 10.96.0.4:80'])
      } finally {
        await rig.pods.k.ask('give', {})
      }
    },
  },
  {
    name: 'a destination that is not there or refuses is refused, and one that half-closes is answered in full',
    run: async (rig) => {
      await rig.everywhere()
      refused(await rig.pods.a.ask('ask', { host: '10.96.0.99', port: 80 }))
      refused(await rig.pods.a.ask('ask', { host: pods.c.address, port: 9 }))
      for (const bytes of [0, 100_000, 20_000_000]) {
        assert.deepEqual(await rig.pods.a.ask('upload', { host: pods.c.address, port: sink, bytes }), { pod: 'c', peer: pods.a.address, bytes })
      }
      assert.deepEqual(await rig.pods.k.ask('upload', { host: pods.c.address6, port: sink, bytes: 1_000_000 }), { pod: 'c', peer: pods.k.address6, bytes: 1_000_000 })
    },
  },
  {
    name: 'every way of filtering by the reverse path is fine, in pods and on nodes',
    run: async (rig) => {
      try {
        for (const mode of [1, 2, 0]) {
          for (const name of ['node1', 'node2', ...Object.keys(pods)]) shell(`ip netns exec ${name} sh -c 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo ${mode} > $f; done'`)
          await rig.everywhere()
          answered(await rig.pods.a.ask('ask', toC), 'c', pods.a.address)
          answered(await rig.pods.stranger.ask('ask', { host: services.k.address, port: 80 }), 'k', pods.stranger.address)
          answered(await rig.nodes[1].ask('ask', { host: pods.b.address, port: lines }), 'b', '169.254.7.127')
        }
      } finally {
        for (const name of ['node1', 'node2', ...Object.keys(pods)]) shell(`ip netns exec ${name} sh -c 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done'`)
      }
    },
  },
])
