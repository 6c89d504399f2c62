import { isIPv4 } from 'node:net'
import { addressBytes } from './address.ts'
import { attribute, be16, be32, host32 } from './netlink.ts'

/**
 * One statement of a rule of nf_tables: as people write it for `nft`, and as the kernel takes it. That both mean the same is proven by the tests in
 * network namespaces, which have `nft` print what was put in. Source: Linux `include/uapi/linux/netfilter/nf_tables.h`; nft(8).
 */
export interface Statement {
  readonly text: string
  readonly expressions: readonly Buffer[]
}

// All statements work in the first register; verdicts go to register 0.
const register = be32(1)
const ipv4 = 2
const ipv6 = 10
const tcp = 6

const expression = (name: string, ...attributes: readonly Buffer[]): Buffer => attribute(1, [attribute(1, name), attribute(2, attributes)])
const value = (bytes: Buffer): readonly Buffer[] => [attribute(1, bytes)]

const meta = (key: number): Buffer => expression('meta', attribute(2, be32(key)), attribute(1, register))
const setMeta = (key: number): Buffer => expression('meta', attribute(2, be32(key)), attribute(3, register))
const compare = (bytes: Buffer, { not = false } = {}): Buffer => expression('cmp', attribute(1, register), attribute(2, be32(not ? 1 : 0)), attribute(3, value(bytes)))
const immediate = (bytes: Buffer): Buffer => expression('immediate', attribute(1, register), attribute(2, value(bytes)))
const payload = (base: number, offset: number, length: number): Buffer =>
  expression('payload', attribute(1, register), attribute(2, be32(base)), attribute(3, be32(offset)), attribute(4, be32(length)))
const inNetworkHeader = 1
const inTransportHeader = 2
const metaKey = { mark: 3, inputName: 6, user: 10, family: 15, protocol: 16 } as const

const familyIs = (family: number): readonly Buffer[] => [meta(metaKey.family), compare(Buffer.from([family]))]
const protocolIs = (protocol: number): readonly Buffer[] => [meta(metaKey.protocol), compare(Buffer.from([protocol]))]
const hex = (mark: number): string => `0x${(mark >>> 0).toString(16).padStart(8, '0')}`

/** The packet's mark is `mark`. */
export const markIs = (mark: number): Statement => ({ text: `meta mark ${hex(mark)}`, expressions: [meta(metaKey.mark), compare(host32(mark))] })

/** Marks the packet. */
export const setMark = (mark: number): Statement => ({ text: `meta mark set ${hex(mark)}`, expressions: [immediate(host32(mark)), setMeta(metaKey.mark)] })

const connectionMark = 3
const connectionZone = 17
/** The mark of the connection is `mark`. */
export const connectionMarkIs = (mark: number): Statement => ({
  text: `ct mark ${hex(mark)}`,
  expressions: [expression('ct', attribute(2, be32(connectionMark)), attribute(1, register)), compare(host32(mark))],
})

/** Marks the packet's connection. */
export const setConnectionMark = (mark: number): Statement => ({
  text: `ct mark set ${hex(mark)}`,
  expressions: [immediate(host32(mark)), expression('ct', attribute(2, be32(connectionMark)), attribute(4, register))],
})

/**
 * Has the connection of which this is the first packet, and every later one that is sent the same way, tracked apart from those of other zones. What comes
 * back is found without a zone.
 */
export const trackApart = (zone: number): Statement => ({
  text: `ct original zone set ${zone}`,
  expressions: [immediate(host32(zone).subarray(0, 2)), expression('ct', attribute(2, be32(connectionZone)), attribute(3, Buffer.from([0])), attribute(4, register))],
})

/** Source or destination is `network`: an address, or for IPv4 also a prefix of whole bytes (`127.0.0.0/8`). */
export function address(side: 'saddr' | 'daddr', network: string): Statement {
  const [host = '', prefix] = network.split('/')
  const four = isIPv4(host)
  const all = addressBytes(host)
  const bytes = prefix === undefined ? all : all.subarray(0, Number(prefix) / 8)
  return { text: `${four ? 'ip' : 'ip6'} ${side} ${network}`, expressions: [...familyIs(four ? ipv4 : ipv6), addressOf(side, four, bytes.length), compare(bytes)] }
}

/** Source or destination is in the set `name` of the same table. */
export const addressIn = (side: 'saddr' | 'daddr', family: 4 | 6, name: string): Statement => ({
  text: `${family === 4 ? 'ip' : 'ip6'} ${side} @${name}`,
  expressions: [
    ...familyIs(family === 4 ? ipv4 : ipv6),
    addressOf(side, family === 4, family === 4 ? 4 : 16),
    expression('lookup', attribute(2, register), attribute(1, name)),
  ],
})

function addressOf(side: 'saddr' | 'daddr', four: boolean, length: number): Buffer {
  const offset = four ? (side === 'saddr' ? 12 : 16) : side === 'saddr' ? 8 : 24
  return payload(inNetworkHeader, offset, length)
}

/** Source or destination is an address of this namespace (RTN_LOCAL). */
export const isLocal = (side: 'saddr' | 'daddr'): Statement => ({
  text: `fib ${side} type local`,
  expressions: [expression('fib', attribute(3, be32(side === 'saddr' ? 1 : 2)), attribute(2, be32(3)), attribute(1, register)), compare(host32(2))],
})

/** Sent by a process of this node that runs as user 0. */
export const byRoot: Statement = { text: 'meta skuid 0', expressions: [meta(metaKey.user), compare(host32(0))] }

/** TCP to `port`. */
export const tcpTo = (port: number): Statement => ({
  text: `tcp dport ${port}`,
  expressions: [...protocolIs(tcp), payload(inTransportHeader, 2, 2), compare(be16(port))],
})

/** TCP, whatever packet. */
export const isTcp: Statement = { text: 'meta l4proto tcp', expressions: protocolIs(tcp) }

/**
 * A packet that opens a TCP connection. Without it, connections that were open before the rules are taken up in the middle, translated, and so broken:
 * the tracking of connections sees them first when the rules turn it on.
 */
export const opensTcp: Statement = {
  text: 'tcp flags syn / fin,syn,rst,ack',
  expressions: [
    ...protocolIs(tcp),
    payload(inTransportHeader, 13, 1),
    expression(
      'bitwise',
      attribute(1, register),
      attribute(2, register),
      attribute(3, be32(1)),
      attribute(4, value(Buffer.from([0x17]))),
      attribute(5, value(Buffer.from([0]))),
    ),
    compare(Buffer.from([0x02])),
  ],
}

/** Came in by another link than `name`. */
export const notFrom = (name: string): Statement => {
  const bytes = Buffer.alloc(16)
  bytes.write(name)
  return { text: `iifname != "${name}"`, expressions: [meta(metaKey.inputName), compare(bytes, { not: true })] }
}

/** To `port` of this namespace itself. Flag 2: the port is given (NF_NAT_RANGE_PROTO_SPECIFIED). */
export const redirectTo = (port: number): Statement => ({
  text: `redirect to :${port}`,
  expressions: [immediate(be16(port)), expression('redir', attribute(1, register), attribute(3, be32(2)))],
})

/** Shows `source` as the sender. */
export const snatTo = (source: string): Statement => ({
  text: `snat ${isIPv4(source) ? 'ip' : 'ip6'} to ${source}`,
  expressions: [
    immediate(addressBytes(source)),
    expression('nat', attribute(1, be32(0)), attribute(2, be32(isIPv4(source) ? ipv4 : ipv6)), attribute(3, register)),
  ],
})

const verdicts = { drop: 0, accept: 1, return: -5 } as const
/** Ends a rule. `accept` goes on with later chains of the hook, `return` with the chain's policy, `drop` ends the packet. */
export const verdict = (name: keyof typeof verdicts): Statement => ({
  text: name,
  expressions: [expression('immediate', attribute(1, be32(0)), attribute(2, [attribute(2, [attribute(1, be32(verdicts[name]))])]))],
})
