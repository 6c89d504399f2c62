import { isIP } from 'node:net'
import { formatAuthority } from '../../transport/authority.ts'

const mapped = '::ffff:'

/** An address as configuration spells it: a dual-stack listener shows IPv4 peers in IPv6. */
export function plainAddress(address: string): string {
  return address.startsWith(mapped) && isIP(address.slice(mapped.length)) === 4 ? address.slice(mapped.length) : address
}

/** The value of `forwarded` for a client. @param host the name of the Service that it addressed, if it addressed one. Source: RFC 7239 §4. */
export function formatForwarded(address: string, port: number, host?: string): string {
  const client = `for="${formatAuthority(address, port)}"`
  return host === undefined ? client : `${client};host=${host}`
}
