import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import type { RawReply, RawSpec, UdpReply, UdpSpec } from '../protocol.ts'
import { tunnel } from './proxy.ts'

/** Connections whose bytes are the caller's own, in the order in which they were begun. */
export async function raw(spec: RawSpec): Promise<readonly RawReply[]> {
  const { count = 1, concurrency = 1 } = spec
  const text = spec.sni === undefined ? Buffer.from(spec.send ?? '', 'latin1') : await clientHello(spec.sni)
  const replies: RawReply[] = []
  let next = 0
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, async () => {
    for (let at = next++; at < count; at = next++) replies[at] = await one(spec, text)
  }))
  return replies
}

async function one({ target, via, half = false, untilText, timeoutMs = 10_000 }: RawSpec, text: Buffer): Promise<RawReply> {
  let socket: Socket
  try {
    socket = await tunnel(target, via, timeoutMs, true)
  } catch (error) {
    return { received: '', end: (error as NodeJS.ErrnoException).code ?? (error instanceof Error ? error.message : String(error)) }
  }
  return new Promise((resolve) => {
    let received = ''
    const done = (end: string): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ received, end })
    }
    const timer = setTimeout(() => done('time'), timeoutMs)
    socket.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message))
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1')
      if (untilText !== undefined && received.includes(untilText)) done('text')
    })
    socket.on('end', () => done('end'))
    socket.resume()
    if (half) socket.end(text)
    else socket.write(text)
  })
}

/** What a TLS client sends first. */
async function clientHello(name: string): Promise<Buffer> {
  const sent = Promise.withResolvers<Buffer>()
  const wire = new Duplex({
    read: () => {},
    write: (chunk: Buffer, _encoding, done) => {
      sent.resolve(chunk)
      done()
    },
  })
  const client = connectTls({ socket: wire, servername: name })
  client.on('error', () => {})
  const hello = await sent.promise
  client.destroy()
  return hello
}

/** One datagram after the other, from a socket each. */
export async function udp({ host, port, count = 1, timeoutMs = 5_000 }: UdpSpec): Promise<readonly UdpReply[]> {
  const { address, family } = await lookup(host)
  const replies: UdpReply[] = []
  for (let at = 0; at < count; at++) {
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
    try {
      const answered = once(socket, 'message', { signal: AbortSignal.timeout(timeoutMs) }) as Promise<[Buffer]>
      socket.send('hello', port, address)
      const [message] = await answered
      replies.push(JSON.parse(message.toString()) as UdpReply)
    } catch (error) {
      replies.push({ error: error instanceof Error ? error.message : String(error) })
    } finally {
      socket.close()
    }
  }
  return replies
}
