import { attribute, be32, netfilterHeader, type Message } from './netlink.ts'

/**
 * Makes the kernel forget the connections that are marked `mark`, of both families and in every zone. As a command:
 *
 *     conntrack -D -m MARK
 *
 * Source: Linux `include/uapi/linux/netfilter/nfnetlink_conntrack.h`; subsystem 1, and 2 deletes.
 */
export function forgetMarked(mark: number): Message {
  const [connectionMark, connectionMarkMask] = [8, 21]
  const body = Buffer.concat([netfilterHeader(0, 0), attribute(connectionMark, be32(mark)), attribute(connectionMarkMask, be32(0xffff_ffff))])
  return { type: (1 << 8) | 2, flags: 0, body, about: `forget connections marked 0x${mark.toString(16)}` }
}
