import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, connect } from 'node:net'
import type { AddressInfo, Server as NetServer, Socket } from 'node:net'
import type { Client, Server } from '@grpc/grpc-js'
import { systemClock } from '../../src/kit/clock.ts'
import type { ExchangeHandler, ServerConnection } from '../exchange.ts'
import type { Dial, UpstreamFailure, UpstreamPool } from '../upstream.ts'
import { createHttp2Pool } from './pool.ts'
import { serveHttp2 } from './server.ts'
import { callUnary, echoClient, echoService, Metadata, startEcho, status } from './testing/grpc-services.ts'
import type { EchoHandlers } from './testing/grpc-services.ts'
import { relay } from './testing/relay.ts'

const limits = { maxHeaderBytes: 65536, maxHeaders: 128, maxTargetBytes: 8192, headTimeoutMs: 10_000, idleTimeoutMs: 60_000 }
const poolLimits = { maxConnections: 8, maxPending: 1024, idleTimeoutMs: 60_000, maxAgeMs: 3_600_000 }
const asIs = (value: Buffer): Buffer => value

describe('gRPC through the HTTP/2 server and pool', () => {
  const closers: (() => void)[] = []
  const failures: UpstreamFailure[] = []
  let connections: ServerConnection[] = []

  afterEach(() => {
    for (const close of closers.splice(0)) close()
    failures.length = 0
    connections = []
  })

  const dialPort = (port: number): Dial => async () => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    return socket
  }
  const poolTo = (port: number): UpstreamPool => {
    const pool = createHttp2Pool(dialPort(port), poolLimits, systemClock)
    closers.push(() => pool.destroy())
    return pool
  }
  const proxy = async (handler: ExchangeHandler): Promise<number> => {
    const server: NetServer = createServer({ noDelay: true }, (socket: Socket) => {
      socket.on('error', () => {})
      connections.push(serveHttp2(socket, handler, { limits, clock: systemClock, onProtocolError: () => {} }))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(() => {
      for (const each of connections) each.destroy()
      server.close()
    })
    return (server.address() as AddressInfo).port
  }
  const echo = async (handlers: Partial<EchoHandlers>): Promise<{ readonly port: number; readonly server: Server }> => {
    const started = await startEcho(handlers)
    closers.push(() => started.server.forceShutdown())
    return started
  }
  const client = (port: number, options = {}): Client => {
    const made = echoClient(port, options)
    closers.push(() => made.close())
    return made
  }
  /** Server, proxy and client in a row. */
  const chain = async (handlers: Partial<EchoHandlers>): Promise<Client> => {
    const pool = poolTo((await echo(handlers)).port)
    return client(await proxy(relay(() => pool, (failure) => failures.push(failure))))
  }

  it('passes unary calls with metadata, binary metadata and trailers', async () => {
    const made = await chain({
      Unary: (call, callback) => {
        const trailer = new Metadata()
        trailer.set('x-trailer', 'last')
        trailer.set('x-trailer-bin', Buffer.from([0, 255, 10, 13]))
        const header = new Metadata()
        header.set('x-echo', String(call.metadata.get('x-in')[0]))
        header.set('x-echo-bin', call.metadata.get('x-in-bin')[0] as Buffer)
        call.sendMetadata(header)
        callback(null, Buffer.concat([call.request, Buffer.from('!')]), trailer)
      },
    })
    const metadata = new Metadata()
    metadata.set('x-in', 'hello')
    metadata.set('x-in-bin', Buffer.from([0, 1, 2, 253, 254, 255]))
    const result = await callUnary(made, Buffer.from('ping'), metadata)
    assert.equal(result.code, status.OK, result.details)
    assert.equal(result.message?.toString(), 'ping!')
    assert.deepEqual(result.header?.get('x-echo'), ['hello'])
    assert.deepEqual(result.header.get('x-echo-bin'), [Buffer.from([0, 1, 2, 253, 254, 255])])
    assert.deepEqual(result.trailer.get('x-trailer'), ['last'])
    assert.deepEqual(result.trailer.get('x-trailer-bin'), [Buffer.from([0, 255, 10, 13])])
  })
})
