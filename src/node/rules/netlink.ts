/**
 * The encoding that all of netlink shares: messages of a header and attributes, each padded to four bytes. Headers are in the machine's byte order,
 * which is little-endian on every machine that we support. Source: netlink(7), Linux `Documentation/userspace-api/netlink/intro.rst`.
 */

/** Flags of a message's header. */
export const flag = { request: 0x1, ack: 0x4, replace: 0x100, excl: 0x200, create: 0x400, append: 0x800, dump: 0x300 } as const

/** A message without its place in a conversation: what is sent gets a sequence number then. */
export interface Message {
  readonly type: number
  /** Besides `flag.request`. */
  readonly flags: number
  /** The family's own header, and attributes. */
  readonly body: Buffer
  /** What it does, in words, for errors: `add rule to out`. */
  readonly about: string
}

/** An attribute; nested attributes are its payload. A string gets its closing NUL. */
export function attribute(type: number, payload: Buffer | string | readonly Buffer[]): Buffer {
  const nested = typeof payload !== 'string' && !Buffer.isBuffer(payload)
  const content = typeof payload === 'string' ? Buffer.from(`${payload}\0`) : Buffer.isBuffer(payload) ? payload : Buffer.concat(payload)
  const length = 4 + content.length
  if (length > 0xffff) throw new RangeError(`a netlink attribute of ${length} bytes`)
  const made = Buffer.alloc(padded(length))
  made.writeUInt16LE(length, 0)
  made.writeUInt16LE(nested ? type | 0x8000 : type, 2)
  content.copy(made, 4)
  return made
}

/** A message as it is sent. */
export function encode(message: Message, sequence: number): Buffer {
  const made = Buffer.alloc(padded(16 + message.body.length))
  made.writeUInt32LE(16 + message.body.length, 0)
  made.writeUInt16LE(message.type, 4)
  made.writeUInt16LE(message.flags | flag.request, 6)
  made.writeUInt32LE(sequence, 8)
  message.body.copy(made, 16)
  return made
}

/** What the kernel says to a message that asked for an acknowledgement, or that failed. */
export interface Answer {
  readonly sequence: number
  /** 0, or a positive errno. */
  readonly errno: number
}

/** Answers in a datagram from the kernel; messages of other kinds in it are left out. */
export function decodeAnswers(datagram: Buffer): readonly Answer[] {
  const answers: Answer[] = []
  for (let at = 0; at + 16 <= datagram.length; ) {
    const length = datagram.readUInt32LE(at)
    if (length < 16 || at + length > datagram.length) break
    // NLMSG_ERROR: the negative errno follows the header.
    if (datagram.readUInt16LE(at + 4) === 2 && length >= 20) answers.push({ sequence: datagram.readUInt32LE(at + 8), errno: Math.abs(datagram.readInt32LE(at + 16)) })
    at += padded(length)
  }
  return answers
}

/** A message from the kernel that is no answer: an object that was asked for. */
export interface Received {
  readonly type: number
  /** Without the header of netlink; the family's own comes first. */
  readonly body: Buffer
}

/** Objects in a datagram from the kernel. `done`: it said that there are no more. */
export function decodeObjects(datagram: Buffer): { readonly objects: readonly Received[]; readonly done: boolean } {
  const objects: Received[] = []
  let done = false
  for (let at = 0; at + 16 <= datagram.length; ) {
    const length = datagram.readUInt32LE(at)
    if (length < 16 || at + length > datagram.length) break
    const type = datagram.readUInt16LE(at + 4)
    // NLMSG_DONE; NLMSG_NOOP, ERROR and OVERRUN are below it.
    if (type === 3) done = true
    else if (type > 3) objects.push({ type, body: Buffer.from(datagram.subarray(at + 16, at + length)) })
    at += padded(length)
  }
  return { objects, done }
}

/** Attributes by their type, from `start` on: after the family's own header. */
export function attributesOf(body: Buffer, start: number): ReadonlyMap<number, Buffer> {
  const found = new Map<number, Buffer>()
  for (let at = start; at + 4 <= body.length; ) {
    const length = body.readUInt16LE(at)
    if (length < 4 || at + length > body.length) break
    found.set(body.readUInt16LE(at + 2) & 0x3fff, body.subarray(at + 4, at + length))
    at += padded(length)
  }
  return found
}

/** A number of 32 bits, most significant byte first: how nf_tables writes its own. */
export function be32(value: number): Buffer {
  const made = Buffer.alloc(4)
  made.writeInt32BE(value | 0)
  return made
}

/** A number of 32 bits in the machine's order: marks, indexes of links. */
export function host32(value: number): Buffer {
  const made = Buffer.alloc(4)
  made.writeInt32LE(value | 0)
  return made
}

/** A port, as it stands in a packet. */
export function be16(value: number): Buffer {
  const made = Buffer.alloc(2)
  made.writeUInt16BE(value)
  return made
}

/** struct nfgenmsg, with which each message to netfilter begins: family, version 0, resource id. */
export function netfilterHeader(family: number, resource: number): Buffer {
  return Buffer.from([family, 0, resource >> 8, resource & 0xff])
}

function padded(length: number): number {
  return (length + 3) & ~3
}
