import { BlockList, isIPv4, isIPv6 } from 'node:net'

const shape = /^([0-9A-Fa-f:.]+)(?:\/(\d{1,3}))?$/

/** What is wrong with `text` as an address or `address/bits`, in words; undefined if it is good. */
export function cidrProblem(text: string): string | undefined {
  return parse(text) === undefined ? 'is neither an IP address nor address/bits' : undefined
}

/**
 * A test of addresses against ranges. IPv4 addresses that are written as IPv6 ones (`::ffff:10.0.0.1`) are IPv4 addresses, in ranges and
 * in what is tested. A range that can not be read holds no address.
 */
export function compileCidrs(texts: readonly string[]): (address: string) => boolean {
  // One list for each family: a list of both takes 10.0.0.1 for an address in ::/0.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const text of texts) {
    const found = parse(text)
    if (found !== undefined) lists[found.family].addSubnet(found.address, found.bits, found.family)
  }
  return (given) => {
    const address = plainAddress(given)
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    return lists[family].check(address, family)
  }
}

/** An IPv4 address without the prefix that makes it an IPv6 one, and without a zone. */
export function plainAddress(address: string): string {
  const bare = address.split('%')[0] ?? ''
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)
  return mapped?.[1] ?? bare
}

function parse(text: string): { readonly address: string; readonly bits: number; readonly family: 'ipv4' | 'ipv6' } | undefined {
  const [, given = '', digits] = shape.exec(text) ?? []
  const address = plainAddress(given)
  const family = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : undefined
  if (family === undefined) return undefined
  const most = family === 'ipv4' ? 32 : 128
  const shift = address === given ? 0 : 96
  const bits = digits === undefined ? most : Number(digits) - shift
  return bits >= 0 && bits <= most ? { address, bits, family } : undefined
}
