import type { Duplex } from 'node:stream'
import type { Issued } from '../model/credentials.ts'
import type { Identity } from '../model/identity.ts'
import type { Update } from './publisher.ts'
import type { Subscriber } from './slice.ts'

/** What a data plane process says to the controller. */
export type ClientMessage =
  /** First of all: for whom the stream is. The identity's namespace must be the subscriber's. */
  | { readonly type: 'hello'; readonly subscriber: Subscriber; readonly identity: Identity }
  /** It runs this version now. */
  | { readonly type: 'ack'; readonly version: number }
  /** Asks for an SVID over this public key, PEM, for the identity of the hello. */
  | { readonly type: 'sign'; readonly id: number; readonly publicKeyPem: string }

/** What the controller says to a data plane process. */
export type ServerMessage =
  /** `fresh`: the changes hold the whole slice, and what was there before is void. */
  | ({ readonly type: 'update'; readonly fresh: boolean } & Update)
  | { readonly type: 'signed'; readonly id: number; readonly issued: Issued }
  | { readonly type: 'sign-failed'; readonly id: number; readonly message: string }
  | { readonly type: 'bundle'; readonly trustBundlePem: readonly string[] }
  /** The last message: why the stream ends. */
  | { readonly type: 'refused'; readonly message: string }

/** Longest message, bytes; a longer one ends the stream. */
export const maxMessageBytes = 64 * 1024 * 1024

/** Messages on a byte stream: one JSON value a line. */
export interface Wire<In, Out> {
  readonly send: (message: Out) => void
  /** Resolves when the stream is over, for whatever reason. */
  readonly closed: Promise<void>
  readonly close: () => void
  /** Ends after what was sent has gone out. */
  readonly end: (message: Out) => void
  readonly onMessage: (listener: (message: In) => void) => void
}

/** Puts messages on `stream`; a line that is not JSON, or is too long, destroys it. */
export function createWire<In, Out>(stream: Duplex, limitBytes = maxMessageBytes): Wire<In, Out> {
  let listener: (message: In) => void = () => {}
  let parts: Buffer[] = []
  let size = 0
  stream.on('error', () => {})
  stream.on('data', (chunk: Buffer) => {
    let start = 0
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, start)) {
      parts.push(chunk.subarray(start, at))
      const line = Buffer.concat(parts).toString()
      parts = []
      size = 0
      start = at + 1
      try {
        listener(JSON.parse(line) as In)
      } catch (error) {
        stream.destroy(error instanceof Error ? error : new Error(String(error)))
        return
      }
    }
    if (start < chunk.length) {
      parts.push(chunk.subarray(start))
      size += chunk.length - start
    }
    if (size > limitBytes) stream.destroy(new Error(`a message of more than ${limitBytes} bytes`))
  })
  const closed = new Promise<void>((resolve) => {
    stream.once('close', resolve)
  })
  stream.once('end', () => stream.destroy())
  const put = (message: Out): string => `${JSON.stringify(message)}\n`
  return {
    send: (message) => {
      if (!stream.destroyed) stream.write(put(message))
    },
    closed,
    close: () => stream.destroy(),
    end: (message) => {
      if (!stream.destroyed) stream.end(put(message), () => stream.destroy())
    },
    onMessage: (next) => {
      listener = next
    },
  }
}
