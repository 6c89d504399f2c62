import { spawnSync } from 'node:child_process'

/** How a pod is attached to its node, as CNIs do it. */
export type Attachment =
  /** A link to the node with the gateway's address on it: kindnet, ptp, GKE. */
  | 'ptp'
  /** A link to the node without any address on it, and a gateway that only answers ARP: Calico. */
  | 'calico'
  /** A bridge: flannel, bridge. Pods of one node reach each other without the node's routing. */
  | 'bridge'

export interface PodPlace {
  readonly name: string
  readonly node: 1 | 2
  readonly attachment: Attachment
  readonly address: string
  readonly address6: string
}

/** The pods. Two of them are never captured: `plain` on node 1's bridge and `stranger` on node 2. */
export const pods = {
  a: { name: 'a', node: 1, attachment: 'ptp', address: '10.61.1.10', address6: 'fd00:61:1::10' },
  k: { name: 'k', node: 1, attachment: 'calico', address: '10.61.1.11', address6: 'fd00:61:1::11' },
  b: { name: 'b', node: 1, attachment: 'bridge', address: '10.61.3.12', address6: 'fd00:61:3::12' },
  plain: { name: 'plain', node: 1, attachment: 'bridge', address: '10.61.3.13', address6: 'fd00:61:3::13' },
  c: { name: 'c', node: 2, attachment: 'ptp', address: '10.61.2.10', address6: 'fd00:61:2::10' },
  stranger: { name: 'stranger', node: 2, attachment: 'ptp', address: '10.61.2.20', address6: 'fd00:61:2::20' },
} as const satisfies Readonly<Record<string, PodPlace>>

export type PodName = keyof typeof pods

/** Where a waypoint runs, when one does. */
export const waypointPlace = { name: 'w', node: 2, attachment: 'ptp', address: '10.61.2.30', address6: 'fd00:61:2::30' } as const satisfies PodPlace

/** Services on port 80, each with one pod's port 8080 behind it. */
export const services = {
  a: { address: '10.96.0.1', address6: 'fd00:96::1' },
  k: { address: '10.96.0.2', address6: 'fd00:96::2' },
  b: { address: '10.96.0.3', address6: 'fd00:96::3' },
  c: { address: '10.96.0.4', address6: 'fd00:96::4' },
  stranger: { address: '10.96.0.5', address6: 'fd00:96::5' },
} as const satisfies Partial<Readonly<Record<PodName, { readonly address: string; readonly address6: string }>>>

/** Addresses of the nodes, which are on one wire. */
export const nodes = { 1: { address: '172.30.0.1', address6: 'fd00:30::1' }, 2: { address: '172.30.0.2', address6: 'fd00:30::2' } } as const

/** Name of a node's namespace. */
export const nodeNamespace = (node: 1 | 2): string => `node${node}`

/** Builds it all. In its own mount namespace: `/run/netns` is a fresh file system there. */
export function build(): void {
  shell('mount -t tmpfs tmpfs /run')
  const all = [...Object.values(pods), waypointPlace]
  shell([
    'mkdir -p /run/netns',
    ...['node1', 'node2', ...all.map((pod) => pod.name)].flatMap((name) => [`ip netns add ${name}`, `ip netns exec ${name} sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0`, `ip -n ${name} link set lo up`]),
    'ip -n node1 link add eth0 type veth peer name eth0 netns node2',
    ...([1, 2] as const).flatMap((node) => [
      `ip -n node${node} addr add ${nodes[node].address}/24 dev eth0`,
      `ip -n node${node} addr add ${nodes[node].address6}/64 dev eth0 nodad`,
      `ip -n node${node} link set eth0 up`,
      `ip netns exec node${node} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1`,
    ]),
    'ip -n node1 link add br0 type bridge',
    'ip -n node1 addr add 10.61.3.1/24 dev br0',
    'ip -n node1 addr add fd00:61:3::1/64 dev br0 nodad',
    'ip -n node1 link set br0 up',
    ...all.flatMap(attach),
    // What leads nowhere is refused at once, and the gateway of Calico's pods is answered for as long as there is a way to it.
    'ip -n node1 route add 169.254.1.1/32 dev eth0',
    ...(['node1', 'node2'] as const).flatMap((node) => [`ip -n ${node} route add unreachable default metric 9`, `ip -n ${node} -6 route add unreachable default metric 9`]),
    ...routes(1, 2, ['10.61.2.0/24', 'fd00:61:2::/64']),
    ...routes(2, 1, ['10.61.1.0/24', '10.61.3.0/24', 'fd00:61:1::/64', 'fd00:61:3::/64']),
  ].join('\n'))
  for (const node of [1, 2] as const) shell(`ip netns exec node${node} nft -f -`, kubeProxy())
}

function routes(from: 1 | 2, to: 1 | 2, networks: readonly string[]): readonly string[] {
  return networks.map((network) => `ip -n node${from} route add ${network} via ${network.includes(':') ? nodes[to].address6 : nodes[to].address}`)
}

function attach({ name, node, attachment, address, address6 }: PodPlace): readonly string[] {
  const host = `node${node}`
  const link = `v-${name}`
  const made = [`ip -n ${host} link add ${link} type veth peer name eth0 netns ${name}`]
  if (attachment === 'bridge') {
    return [
      ...made,
      `ip -n ${host} link set ${link} master br0 up`,
      `ip -n ${name} addr add ${address}/24 dev eth0`,
      `ip -n ${name} addr add ${address6}/64 dev eth0 nodad`,
      `ip -n ${name} link set eth0 up`,
      `ip -n ${name} route add default via 10.61.3.1`,
      `ip -n ${name} route add default via fd00:61:3::1`,
    ]
  }
  const calico = attachment === 'calico'
  const gateway = calico ? '169.254.1.1' : `10.61.${node}.1`
  const gateway6 = calico ? 'fe80::ecee:eeff:feee:eeee' : `fd00:61:${node}::1`
  return [
    ...made,
    ...(calico ? [`ip -n ${host} link set ${link} address ee:ee:ee:ee:ee:ee`] : [`ip -n ${host} addr add ${gateway}/32 dev ${link}`, `ip -n ${host} addr add ${gateway6}/128 dev ${link} nodad`]),
    ...(calico ? [`ip netns exec ${host} sysctl -qw net.ipv4.conf.${link}.proxy_arp=1 net.ipv4.neigh.${link}.proxy_delay=0`] : []),
    `ip -n ${name} addr add ${address}/32 dev eth0`,
    `ip -n ${name} addr add ${address6}/128 dev eth0 nodad`,
    `ip -n ${name} link set eth0 up`,
    `ip -n ${host} link set ${link} up`,
    `ip -n ${name} route add ${gateway} dev eth0`,
    `ip -n ${name} route add default via ${gateway} dev eth0 src ${address}`,
    ...(calico ? [] : [`ip -n ${name} route add ${gateway6} dev eth0`]),
    `ip -n ${name} route add default via ${gateway6} dev eth0 src ${address6}`,
    `ip -n ${host} route add ${address}/32 dev ${link}`,
    `ip -n ${host} route add ${address6}/128 dev ${link}`,
  ]
}

/** Destination translation of cluster IPs with the hooks and priorities that kube-proxy has in its nftables mode, and masquerading of hairpins. */
function kubeProxy(): string {
  const elements = (pick: (name: keyof typeof services) => readonly [string, string]): string =>
    (Object.keys(services) as (keyof typeof services)[]).map((name) => `${pick(name)[0]} . 80 : ${pick(name)[1]} . 8080`).join(', ')
  const table = (family: 'ip' | 'ip6', type: string, map: string): string => `
    table ${family} kube-proxy {
      map services { type ${type} . inet_service : ${type} . inet_service; elements = { ${map} } }
      chain prerouting { type nat hook prerouting priority -100; policy accept; dnat to ${family} daddr . tcp dport map @services; }
      chain output { type nat hook output priority -100; policy accept; dnat to ${family} daddr . tcp dport map @services; }
      chain postrouting {
        type nat hook postrouting priority 100; policy accept;
        ${Object.values(pods).map((pod) => (family === 'ip' ? pod.address : pod.address6)).map((each) => `ct status dnat ${family} saddr ${each} ${family} daddr ${each} masquerade`).join('\n        ')}
      }
    }`
  return table('ip', 'ipv4_addr', elements((name) => [services[name].address, pods[name].address])) + table('ip6', 'ipv6_addr', elements((name) => [services[name].address6, pods[name].address6]))
}

/** Takes everything away that agents have put in, as if none had ever been there. */
export function forgetCapture(): void {
  shell([
    ...Object.keys(pods).flatMap((name) => [
      `ip netns exec ${name} nft delete table inet waymark 2>/dev/null || true`,
      ...['-4', '-6'].map((family) => `ip -n ${name} ${family} rule del priority 15006 2>/dev/null || true`),
    ]),
    ...['node1', 'node2'].map((name) => `ip netns exec ${name} nft delete table inet waymark 2>/dev/null || true`),
  ].join('\n'))
}

/** Runs `script`. @returns what it said @throws with what it said, if it fails */
export function shell(script: string, input = ''): string {
  const done = spawnSync('sh', ['-ec', script], { encoding: 'utf8', input })
  if (done.status !== 0) throw new Error(`${script.length > 300 ? `${script.slice(0, 300)}…` : script}\n${done.stderr}`)
  return done.stdout
}
