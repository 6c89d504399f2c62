/** What the first bytes of a connection say about TLS. */
export type ClientHello =
  /** More bytes are needed. */
  | { readonly kind: 'incomplete' }
  /** Not TLS, or a ClientHello that no server would accept. */
  | { readonly kind: 'invalid' }
  /** @property serverName lower case, without a trailing dot; undefined if the client named none */
  | { readonly kind: 'hello'; readonly serverName: string | undefined }

/** A longer ClientHello is refused: ours and everybody's are below 4 KiB, post-quantum key shares included. */
export const maxClientHelloBytes = 16 * 1024

const incomplete: ClientHello = { kind: 'incomplete' }
const invalid: ClientHello = { kind: 'invalid' }
const handshakeRecord = 22
const clientHelloMessage = 1
const serverNameExtension = 0
const dnsName = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/

/**
 * Reads the server name out of a TLS ClientHello, which may be cut into several records.
 * @param bytes everything that the client sent so far
 * Source: RFC 8446 §4.1.2 and §5.1, RFC 6066 §3.
 */
export function parseClientHello(bytes: Uint8Array): ClientHello {
  const message = handshakeMessage(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  if (!Buffer.isBuffer(message)) return message
  const body = reader(message)
  body.skip(2 + 32)
  body.skip(body.u8())
  body.skip(body.u16())
  body.skip(body.u8())
  if (body.broken()) return invalid
  // TLS 1.2 and older may end here.
  if (body.atEnd()) return { kind: 'hello', serverName: undefined }
  const extensions = reader(body.take(body.u16()))
  if (body.broken() || !body.atEnd()) return invalid
  let serverName: string | undefined
  let named = false
  while (!extensions.atEnd() && !extensions.broken()) {
    const type = extensions.u16()
    const data = extensions.take(extensions.u16())
    if (extensions.broken()) return invalid
    if (type !== serverNameExtension) continue
    if (named) return invalid
    named = true
    serverName = readServerName(data)
    if (serverName === undefined) return invalid
  }
  return extensions.broken() ? invalid : { kind: 'hello', serverName }
}

/** Puts the records' contents together until the ClientHello is whole. */
function handshakeMessage(bytes: Buffer): Buffer | ClientHello {
  const parts: Buffer[] = []
  let have = 0
  let wanted: number | undefined
  for (let at = 0; ;) {
    if (bytes.length > at && bytes[at] !== handshakeRecord) return invalid
    if (bytes.length > at + 1 && bytes[at + 1] !== 3) return invalid
    if (bytes.length < at + 5) return incomplete
    const length = bytes.readUInt16BE(at + 3)
    if (length === 0 || length > 2 ** 14) return invalid
    const part = bytes.subarray(at + 5, at + 5 + length)
    parts.push(part)
    have += part.length
    if (wanted === undefined && have >= 4) {
      const head = Buffer.concat(parts)
      if (head[0] !== clientHelloMessage) return invalid
      wanted = 4 + head.readUIntBE(1, 3)
      if (wanted > maxClientHelloBytes) return invalid
    } else if (wanted === undefined && have > 0 && parts.find((each) => each.length > 0)?.[0] !== clientHelloMessage) {
      return invalid
    }
    if (wanted !== undefined && have >= wanted) return Buffer.concat(parts).subarray(4, wanted)
    at += 5 + length
    if (at > bytes.length) return incomplete
    if (at > 2 * maxClientHelloBytes) return invalid
  }
}

/** @returns undefined if it is not exactly one DNS name */
function readServerName(data: Buffer): string | undefined {
  const outer = reader(data)
  const list = reader(outer.take(outer.u16()))
  if (outer.broken() || !outer.atEnd() || list.u8() !== 0) return undefined
  const name = list.take(list.u16()).toString('latin1').toLowerCase().replace(/\.$/, '')
  return list.broken() || !list.atEnd() || !dnsName.test(name) ? undefined : name
}

interface Reader {
  readonly u8: () => number
  readonly u16: () => number
  readonly take: (length: number) => Buffer
  readonly skip: (length: number) => void
  readonly atEnd: () => boolean
  /** Whether something was read past the end; what was read then is 0 or empty. */
  readonly broken: () => boolean
}

function reader(bytes: Buffer): Reader {
  let at = 0
  let broken = false
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) {
      broken = true
      at = bytes.length
      return Buffer.alloc(0)
    }
    at += length
    return bytes.subarray(at - length, at)
  }
  const uint = (length: 1 | 2): number => {
    const found = take(length)
    return found.length === length ? found.readUIntBE(0, length) : 0
  }
  return {
    u8: () => uint(1),
    u16: () => uint(2),
    take,
    skip: (length) => { take(length) },
    atEnd: () => at === bytes.length,
    broken: () => broken,
  }
}
