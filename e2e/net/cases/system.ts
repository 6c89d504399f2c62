import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readlinkSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { openNamespace } from '../../../src/node/native/namespace.ts'
import { putTable } from '../../../src/node/native/netlink.ts'
import { openPodNetwork, openProbeRules } from '../../../src/node/native/pod-network.ts'
import { attribute } from '../../../src/node/rules/netlink.ts'
import { podTable } from '../../../src/node/rules/pod.ts'
import { probeTable } from '../../../src/node/rules/probes.ts'
import { tableText, type Table } from '../../../src/node/rules/table.ts'
import { shell } from '../lib/topology.ts'
import { netCases } from './case.ts'

const here = (): string => readlinkSync('/proc/thread-self/ns/net')

/** A namespace of the case's own, with the loopback up. */
async function scratch(work: (path: string) => Promise<void> | void): Promise<void> {
  shell('ip netns add scratch; ip -n scratch link set lo up')
  try {
    await work('/run/netns/scratch')
  } finally {
    shell('ip netns del scratch')
  }
}

/** `nft` lists the same after our messages as after its own reading of the text. */
async function means(table: Table): Promise<void> {
  const list = (): string => shell(`ip netns exec scratch nft list table inet ${table.name}`)
  await scratch(async (path) => {
    const namespace = openNamespace(path)
    await putTable(namespace, table)
    const ours = list()
    // Once more changes nothing.
    await putTable(namespace, table)
    assert.equal(list(), ours)
    shell('ip netns exec scratch nft flush ruleset; ip netns exec scratch nft -f -', tableText(table))
    assert.equal(ours, list())
    namespace.close()
  })
}

const many = Array.from({ length: 2_500 }, (_, index) => `10.${index >> 8}.${index & 0xff}.7`)

/** The system calls by themselves. */
export const cases = netCases([
  { name: 'the rules of a pod mean what their text says', run: () => means(podTable(0xdeadbeef)) },
  { name: 'the rules of a pod that leaves mean what their text says', run: () => means(podTable(0xdeadbeef, { redirects: false })) },
  { name: 'the rules of a node mean what their text says', run: () => means(probeTable(['10.1.2.3', '10.1.2.4', 'fd00::1'])) },
  { name: 'the rules of a node may have no address, and thousands', run: async () => {
    await means(probeTable([]))
    await means(probeTable(many))
  } },
  {
    name: 'a table is replaced as a whole or stays: a bad one changes nothing and names its rule',
    run: () => scratch(async (path) => {
      const namespace = openNamespace(path)
      await putTable(namespace, podTable(7))
      const before = shell('ip netns exec scratch nft list ruleset')
      const good = podTable(8)
      const bad: Table = { ...good, chains: [...good.chains, { name: 'bad', type: 'nat', hook: 'output', priority: -100, rules: [[{ text: 'nonsense', expressions: [attribute(1, [attribute(1, 'nonsense')])] }]] }] }
      await assert.rejects(putTable(namespace, bad), /add rule to bad: nonsense: E/)
      assert.equal(shell('ip netns exec scratch nft list ruleset'), before)
      namespace.close()
    }),
  },
  {
    name: 'the way back from a namespace is taken whatever happens in it',
    run: () => scratch((path) => {
      const home = here()
      const namespace = openNamespace(path)
      assert.notEqual(namespace.run(here), home)
      assert.equal(here(), home)
      assert.throws(() => namespace.run(() => {
        throw new Error('inside')
      }), /inside/)
      assert.equal(here(), home)
      assert.throws(() => namespace.run(() => namespace.run(() => 1)), /already inside/)
      assert.equal(here(), home)
      const hidden = (): unknown => Promise.resolve()
      assert.throws(() => namespace.run(hidden), /synchronous/)
      assert.equal(here(), home)
      namespace.close()
      namespace.close()
      assert.throws(() => namespace.run(() => 1), /EBADF/)
    }),
  },
  {
    name: 'what is no pod\'s namespace is refused',
    run: () => {
      assert.throws(() => openPodNetwork('/run/netns/nowhere', { mark: 1 }), { name: 'NetworkError', code: 'ENOENT' })
      assert.throws(() => openPodNetwork('/etc/hostname', { mark: 1 }), { name: 'NetworkError', code: 'EINVAL' })
      assert.throws(() => openPodNetwork('/proc/thread-self/ns/net', { mark: 1 }), { name: 'NetworkError', code: 'EINVAL', message: /the node's own/ })
      assert.throws(() => openPodNetwork('/proc/self/ns/mnt', { mark: 1 }), { name: 'NetworkError', code: 'EINVAL' })
      return Promise.resolve()
    },
  },
  {
    name: 'a pod without IPv6 is captured',
    run: () => scratch(async (path) => {
      shell('ip netns exec scratch sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip -n scratch link add eth0 type veth peer name other; ip -n scratch link set other up; ip -n scratch addr add 10.9.9.9/32 dev eth0; ip -n scratch link set eth0 up')
      const network = openPodNetwork(path, { mark: 5 })
      assert.deepEqual(network.addresses(), ['10.9.9.9'])
      const server = createServer((socket) => socket.end('hello'))
      await once(server.listen({ fd: network.bind(15_001) }, 4096), 'listening')
      assert.match(shell('ip netns exec scratch ss -Hltn'), /LISTEN\s+0\s+4096\s+\*:15001/)
      await network.capture()
      const socket = network.dial({ host: '10.9.9.9', port: 15_001 })
      assert.equal(String((await once(socket, 'data'))[0]), 'hello')
      socket.destroy()
      server.close()
      network.close()
    }),
  },
  {
    name: 'capturing twice leaves one rule for each family, and release takes back what it put in',
    run: () => scratch(async (path) => {
      shell('ip -n scratch link add eth0 type veth peer name other; ip -n scratch link set other up; ip -n scratch addr add fd00::9/128 dev eth0 nodad; ip -n scratch link set eth0 up')
      const before = ['-4', '-6'].map((family) => shell(`ip -n scratch ${family} rule`))
      const network = openPodNetwork(path, { mark: 5 })
      await network.capture()
      await network.capture()
      for (const family of ['-4', '-6']) assert.equal([...shell(`ip -n scratch ${family} rule`).matchAll(/^15006:\s+from all fwmark 0x111 lookup 15006/gm)].length, 1)
      assert.match(shell('ip -n scratch route show table 15006; ip -n scratch -6 route show table 15006'), /^local default dev lo.*\nlocal default dev lo/)
      await network.release()
      assert.deepEqual(['-4', '-6'].map((family) => shell(`ip -n scratch ${family} rule`)), before)
      assert.equal(shell('ip netns exec scratch nft list ruleset'), '')
      await network.release()
      network.close()
    }),
  },
  {
    name: 'a pod that is captured again has forgotten what was cut when it left: the same ports are captured',
    run: () => scratch(async (path) => {
      shell('ip link add other type veth peer name eth0 netns scratch; ip addr add 10.9.9.1/24 dev other; ip link set other up')
      shell('ip -n scratch addr add 10.9.9.9/24 dev eth0; ip -n scratch link set eth0 up')
      const remote = createServer((socket) => socket.on('error', () => {}).write('remote'))
      const agent = createServer((socket) => socket.end('agent'))
      const network = openPodNetwork(path, { mark: 5 })
      try {
        await once(remote.listen(7000, '10.9.9.1'), 'listening')
        await once(agent.listen({ fd: network.bind(15_001) }), 'listening')
        await network.capture()
        const socket = network.dial({ host: '10.9.9.1', port: 7000 })
        assert.equal(String((await once(socket, 'data'))[0]), 'remote')
        const tracked = (): string => shell('ip netns exec scratch cat /proc/net/nf_conntrack')
        const { localPort } = socket
        assert.match(tracked(), /ESTABLISHED src=10\.9\.9\.9 dst=10\.9\.9\.1 .* mark=273 /)
        // Of another agent that takes over, it is not forgotten.
        const next = openPodNetwork(path, { mark: 5 })
        await next.capture()
        next.close()
        assert.match(tracked(), /ESTABLISHED .* mark=273 /)
        await network.release()
        socket.resetAndDestroy()
        await once(socket, 'close')
        await network.capture()
        assert.doesNotMatch(tracked(), /mark=273/)
        const application = spawn('ip', ['netns', 'exec', 'scratch', process.execPath, '-e', `require('node:net').connect({ host: '10.9.9.1', port: 7000, localPort: ${localPort}, timeout: 5000 }).on('timeout', () => process.exit(1)).pipe(process.stdout)`], { stdio: ['ignore', 'pipe', 'inherit'] })
        assert.equal(await text(application.stdout), 'agent')
      } finally {
        network.close()
        remote.close()
        agent.close()
      }
    }),
  },
  {
    name: 'listeners of a captured pod may migrate, and those of the node are left alone',
    run: () => scratch(async (path) => {
      const setting = '/proc/sys/net/ipv4/tcp_migrate_req'
      writeFileSync(setting, '0')
      const network = openPodNetwork(path, { mark: 5 })
      await network.capture()
      assert.equal(readFileSync(setting, 'utf8').trim(), '0')
      assert.equal(shell(`ip netns exec scratch cat ${setting}`).trim(), '1')
      network.close()
    }),
  },
  {
    name: 'the rules of a node go with the last pod that needs them, and whoever changes them is noticed once',
    run: async () => {
      const probes = openProbeRules()
      const tables = (): string => shell('nft list tables')
      await probes.put([])
      await probes.put(['10.1.2.3', 'fd00::1'])
      assert.match(tables(), /inet waymark/)
      assert.equal(await probes.damaged(), false)
      shell('nft add table inet others; nft delete table inet others')
      assert.equal(await probes.damaged(), false)
      shell('nft flush chain inet waymark probes')
      assert.deepEqual([await probes.damaged(), await probes.damaged()], [true, false])
      await probes.put([])
      assert.doesNotMatch(tables(), /waymark/)
      assert.equal(await probes.damaged(), false)
      probes.close()
    },
  },
  {
    name: 'a port of the pod that is in use, and a socket that can not be made, say so',
    run: () => scratch(async (path) => {
      const network = openPodNetwork(path, { mark: 5 })
      const first = network.bind(15_001)
      // Two agents may share it; who does not ask to share it keeps it for itself.
      const server = createServer()
      await once(server.listen({ fd: first }, 4096), 'listening')
      const second = createServer()
      await once(second.listen({ fd: network.bind(15_001) }, 4096), 'listening')
      assert.throws(() => network.bind(70_000), RangeError)
      const [error] = (await once(network.dial({ host: '127.0.0.1', port: 1, from: '::1' }), 'error').catch((failed: unknown) => [failed])) as [Error]
      assert.match(error.message, /EINVAL/)
      server.close()
      second.close()
      network.close()
      assert.throws(() => network.bind(15_001), { code: 'EBADF' })
    }),
  },
])
