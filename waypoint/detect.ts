import type { Duplex } from 'node:stream'
import type { Clock } from '../src/kit/clock.ts'
import type { PortProtocol } from '../src/model/entries.ts'
import { parseClientHello } from './forward/sni.ts'

/** What a connection carries. Its bytes are all still in the stream, whatever was looked at. */
export type Detected =
  | { readonly protocol: 'http1' | 'http2' | 'tcp' }
  /** @property serverName see `ClientHello` */
  | { readonly protocol: 'tls'; readonly serverName: string | undefined }

export interface DetectOptions {
  readonly clock: Clock
  /** Milliseconds that a client of an `auto` port may be silent or unclear before it is taken for one that waits for the server. */
  readonly sniffMs?: number
  /** Milliseconds that a client of an `http` or `tls` port may take to be clear; then the protocol's own server judges it. */
  readonly patienceMs?: number
}

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')
const longestRequestLine = 8192
const requestLine = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32} [\x21-\x7e]+ HTTP\/1\.[01]\r?$/
const requestLineStart = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{0,32}(?: [\x21-\x7e]*(?: [HTP/1.0]*\r?)?)?$/

/**
 * Finds out what a connection to a port of the declared protocol carries. `tcp` and `http2` ports are never looked into, so that
 * protocols in which the server speaks first suffer no delay.
 * @param stream not read yet; if it ends or breaks meanwhile, that is for the protocol's own code to find out
 */
export async function detect(stream: Duplex, declared: PortProtocol, options: DetectOptions): Promise<Detected> {
  switch (declared) {
    case 'tcp':
    case 'http2':
      return { protocol: declared }
    case 'http':
      return await peek(stream, classifyHttp, { clock: options.clock, limitMs: options.patienceMs ?? 60_000, otherwise: { protocol: 'http1' } })
    case 'tls':
      return await peek(stream, classifyTls, { clock: options.clock, limitMs: options.patienceMs ?? 60_000, otherwise: { protocol: 'tcp' } })
    case 'auto':
      return await peek(stream, classify, { clock: options.clock, limitMs: options.sniffMs ?? 100, otherwise: { protocol: 'tcp' } })
  }
}

/** @returns undefined while more bytes are needed */
export function classify(bytes: Buffer): Detected | undefined {
  if (isPrefix(bytes)) return bytes.length >= preface.length ? { protocol: 'http2' } : undefined
  if (bytes[0] === 22) return classifyTls(bytes)
  const text = bytes.toString('latin1', 0, longestRequestLine)
  const end = text.indexOf('\n')
  if (end >= 0) return { protocol: requestLine.test(text.slice(0, end)) ? 'http1' : 'tcp' }
  if (!requestLineStart.test(text)) return { protocol: 'tcp' }
  return text.length < longestRequestLine ? undefined : { protocol: 'http1' }
}

function classifyHttp(bytes: Buffer): Detected | undefined {
  if (!isPrefix(bytes)) return { protocol: 'http1' }
  return bytes.length >= preface.length ? { protocol: 'http2' } : undefined
}

function classifyTls(bytes: Buffer): Detected | undefined {
  const hello = parseClientHello(bytes)
  if (hello.kind === 'incomplete') return undefined
  return hello.kind === 'hello' ? { protocol: 'tls', serverName: hello.serverName } : { protocol: 'tcp' }
}

/** Whether `bytes` and the HTTP/2 preface are equal as far as both go. */
function isPrefix(bytes: Buffer): boolean {
  const length = Math.min(bytes.length, preface.length)
  return bytes.compare(preface, 0, length, 0, length) === 0
}

interface PeekOptions {
  readonly clock: Clock
  readonly limitMs: number
  readonly otherwise: Detected
}

/**
 * Looks at a stream's first bytes until `judge` knows. They are put back in the same turn in which they are read: bytes held
 * elsewhere could not be put back once the stream's end was emitted.
 */
function peek(stream: Duplex, judge: (bytes: Buffer) => Detected | undefined, { clock, limitMs, otherwise }: PeekOptions): Promise<Detected> {
  return new Promise((resolve) => {
    let seen = 0
    const settle = (found: Detected): void => {
      cancel()
      stream.off('readable', look)
      stream.off('end', giveUp)
      stream.off('close', giveUp)
      resolve(found)
    }
    const giveUp = (): void => settle(otherwise)
    const look = (): void => {
      // Putting bytes back makes the stream say 'readable' once more.
      if (stream.readableLength <= seen) return
      // With a length: from Node 26 on, `read()` gives only the first of the chunks that are there.
      const bytes = stream.read(stream.readableLength) as Buffer | null
      if (bytes === null) return
      seen = bytes.length
      stream.unshift(bytes)
      const found = judge(bytes)
      if (found !== undefined) settle(found)
      // A full buffer gets no further bytes.
      else if (stream.readableLength >= stream.readableHighWaterMark) giveUp()
    }
    // A process that was held up meanwhile has not read what came in time: a whole turn of the loop lets it.
    const cancel = clock.after(limitMs, () => setImmediate(() => setImmediate(giveUp)))
    stream.on('readable', look)
    stream.on('end', giveUp)
    stream.on('close', giveUp)
    if (stream.destroyed || stream.readableEnded) giveUp()
    else look()
  })
}
