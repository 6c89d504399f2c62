import { isIPv4, isIPv6, SocketAddress } from 'node:net'

/** Where a tunnel leads: an IP address without brackets, or a DNS name in lower case without its trailing dot. */
export interface Authority {
  readonly host: string
  readonly port: number
}

const shape = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([^\s:[\]@/?#\\%]{1,254})):([1-9][0-9]{0,4})$/
const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/
const number = /^(?:[0-9]+|0x[0-9a-f]*)$/

/**
 * Reads the `:authority` of a CONNECT: `IPv4:port`, `[IPv6]:port` or `name:port`. The port is never left out.
 * IPv6 addresses come back in their canonical spelling. A name whose last label is a number (`10.0.1`, `0x7f.1`) is a
 * misspelt address and refused.
 * @returns undefined if `text` is anything else
 * Source: RFC 9113 §8.5; WHATWG URL, "ends in a number".
 */
export function parseAuthority(text: string): Authority | undefined {
  const found = shape.exec(text)
  if (found === null) return undefined
  const [, v6, name, digits] = found
  const port = Number(digits)
  if (port > 65535) return undefined
  if (v6 !== undefined) {
    if (!isIPv6(v6)) return undefined
    return { host: new SocketAddress({ address: v6, family: 'ipv6' }).address, port }
  }
  if (name === undefined) return undefined
  if (isIPv4(name)) return { host: name, port }
  const host = (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase()
  const labels = host.split('.')
  if (host.length > 253 || !labels.every((each) => label.test(each)) || number.test(labels.at(-1) ?? '')) return undefined
  return { host, port }
}

/** The `:authority` of a destination; IPv6 addresses get their brackets. */
export function formatAuthority(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
