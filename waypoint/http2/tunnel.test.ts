import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import type { ClientHttp2Session, ServerHttp2Stream } from 'node:http2'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import type { Duplex } from 'node:stream'
import { systemClock } from '../../src/kit/clock.ts'
import type { ExchangeHandler, ServerConnection } from '../exchange.ts'
import type { Dial, UpstreamFailure, UpstreamPool } from '../upstream.ts'
import { createHttp2Pool } from './pool.ts'
import { serveHttp2 } from './server.ts'
import { callUnary, echoClient, Metadata, startEcho, status } from './testing/grpc-services.ts'
import { relay } from './testing/relay.ts'

const limits = { maxHeaderBytes: 65536, maxHeaders: 128, maxTargetBytes: 8192, headTimeoutMs: 10_000, idleTimeoutMs: 60_000 }
const poolLimits = { maxConnections: 8, maxPending: 1024, idleTimeoutMs: 60_000, maxAgeMs: 3_600_000 }

interface Echoed {
  readonly status: number
  readonly bytes: number
  readonly trailers: string[]
}

/** Reads the first bytes of a connection and puts them back, as whoever finds out the protocol does. */
async function sniff(stream: Duplex): Promise<void> {
  let first: Buffer | null = null
  while ((first = stream.read() as Buffer | null) === null) await once(stream, 'readable')
  assert.equal(first.subarray(0, 3).toString(), 'PRI')
  stream.unshift(first)
}

describe('HTTP/2 inside another connection', () => {
  const closers: (() => void)[] = []
  let connections: ServerConnection[] = []
  let tunnels: ServerHttp2Stream[] = []

  afterEach(() => {
    for (const close of closers.splice(0).reverse()) close()
    connections = []
    tunnels = []
  })

  const portOf = async (server: Server | http2.Http2Server): Promise<number> => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(() => server.close())
    return (server.address() as AddressInfo).port
  }
  const serve = (stream: Duplex, handler: ExchangeHandler): void => {
    connections.push(serveHttp2(stream, handler, { limits, clock: systemClock, onProtocolError: () => {} }))
  }
  /** A server of CONNECT tunnels, each of which carries HTTP/2 for `handler`. */
  const tunnelServer = (handler: ExchangeHandler, sniffed: boolean): Promise<number> => {
    const server = http2.createServer()
    server.on('session', (session) => {
      session.on('error', () => {})
      closers.push(() => session.destroy())
    })
    server.on('stream', (stream) => {
      stream.on('error', () => {})
      tunnels.push(stream)
      stream.respond({ ':status': 200 })
      if (sniffed) void sniff(stream).then(() => serve(stream, handler))
      else serve(stream, handler)
    })
    return portOf(server)
  }
  const outer = (port: number): ClientHttp2Session => {
    const session = http2.connect(`http://127.0.0.1:${port}`)
    session.on('error', () => {})
    closers.push(() => session.destroy())
    return session
  }
  const dialTunnel = (session: ClientHttp2Session): Dial => async () => {
    const stream = session.request({ ':method': 'CONNECT', ':authority': '10.0.0.1:80' })
    await once(stream, 'response')
    return stream
  }
  const echo: ExchangeHandler = (exchange) => {
    exchange.onDrain = () => exchange.body.resume()
    exchange.sendHead(200, ['x-path', exchange.head.target], undefined)
    exchange.body.start({
      onData: (chunk) => {
        if (!exchange.sendData(chunk)) exchange.body.pause()
      },
      onEnd: () => exchange.sendEnd(['x-end', 'yes']),
      onAbort: () => {},
    })
  }
  /** Sends `body` through a pool. */
  const exchange = (dial: Dial, body: Buffer): Promise<Echoed> => {
    const pool = createHttp2Pool(dial, poolLimits, systemClock)
    closers.push(() => pool.destroy())
    return exchangeOn(pool, body)
  }
  const exchangeOn = (pool: UpstreamPool, body: Buffer): Promise<Echoed> =>
    new Promise((resolve, reject) => {
      let status = 0
      let bytes = 0
      let at = 0
      const pump = (): void => {
        while (at < body.length) {
          const chunk = body.subarray(at, at + 65536)
          at += chunk.length
          if (!stream.write(chunk)) return
        }
        stream.end()
      }
      const stream = pool.request({ method: 'POST', scheme: 'http', authority: 'a', target: '/in', headers: [], length: body.length }, {
        onInformational: () => {},
        onHead: (got) => (status = got),
        onData: (chunk) => (bytes += chunk.length),
        onEnd: (trailers) => resolve({ status, bytes, trailers }),
        onFailure: (failure) => reject(new Error(failure.detail)),
        onDrain: pump,
        onUpgrade: () => {},
      })
      pump()
    })
  for (const sniffed of [false, true]) {
    const how = sniffed ? ', its first bytes read and put back' : ''
    it(`is served on a socket${how}`, async () => {
      const port = await portOf(createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
        socket.on('error', () => {})
        if (sniffed) void sniff(socket).then(() => serve(socket, echo))
        else serve(socket, echo)
      }))
      const session = outer(port)
      const stream = session.request({ ':method': 'POST', ':path': '/x' })
      stream.end('hello')
      const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders]
      assert.equal(headers['x-path'], '/x')
      assert.equal(String((await once(stream, 'data'))[0]), 'hello')
    })

    it(`is served and sent in a CONNECT stream of an HTTP/2 connection${how}`, async () => {
      const body = Buffer.alloc(3 * 1024 * 1024, 'x')
      const result = await exchange(dialTunnel(outer(await tunnelServer(echo, sniffed))), body)
      assert.deepEqual(result, { status: 200, bytes: body.length, trailers: ['x-end', 'yes'] })
    })
  }

  it('never stands still in a tunnel, however much goes both ways at once', async () => {
    const body = Buffer.alloc(2 * 1024 * 1024, 'x')
    // One pool, so one connection: its two directions wait for each other if anything does.
    const pool = createHttp2Pool(dialTunnel(outer(await tunnelServer(echo, false))), poolLimits, systemClock)
    closers.push(() => pool.destroy())
    const results = await Promise.all(Array.from({ length: 12 }, () => exchangeOn(pool, body)))
    assert.ok(results.every((each) => each.bytes === body.length))
  })

  it('a tunnel that is reset cuts what it carried on both sides, and nothing of it looks whole', async () => {
    for (const side of ['client', 'server']) {
      let clientGone = 0
      const calls: string[] = []
      const failed = Promise.withResolvers<UpstreamFailure>()
      const goneAtServer = Promise.withResolvers<undefined>()
      const session = outer(await tunnelServer((each) => {
        each.onClientGone = () => {
          clientGone++
          goneAtServer.resolve(undefined)
        }
        each.sendHead(200, [], undefined)
        each.sendData(Buffer.from('half'))
      }, false))
      let dialled: Duplex | undefined
      const dial = dialTunnel(session)
      const pool = createHttp2Pool(async () => (dialled = await dial()), poolLimits, systemClock)
      closers.push(() => pool.destroy())
      const data = Promise.withResolvers<undefined>()
      pool.request({ method: 'GET', scheme: 'http', authority: 'a', target: '/', headers: [], length: 0 }, {
        onInformational: () => {},
        onHead: () => calls.push('head'),
        onData: () => data.resolve(undefined),
        onEnd: () => calls.push('end'),
        onFailure: (failure) => failed.resolve(failure),
        onDrain: () => {},
        onUpgrade: () => {},
      })
      await data.promise
      if (side === 'client') dialled?.destroy(new Error('reset'))
      else tunnels.at(-1)?.destroy(new Error('reset'))
      const failure = await failed.promise
      await goneAtServer.promise
      assert.deepEqual([failure.reason, failure.maybeProcessed, clientGone, calls], ['upstream-reset', true, 1, ['head']])
    }
  })

  it('a tunnel that ends without a reset cuts what it carried as well', async () => {
    const failed = Promise.withResolvers<UpstreamFailure>()
    const session = outer(await tunnelServer((each) => {
      each.sendHead(200, [], undefined)
      each.sendData(Buffer.from('half'))
    }, false))
    const pool = createHttp2Pool(dialTunnel(session), poolLimits, systemClock)
    closers.push(() => pool.destroy())
    pool.request({ method: 'GET', scheme: 'http', authority: 'a', target: '/', headers: [], length: 0 }, {
      onInformational: () => {},
      onHead: () => {},
      onData: () => tunnels.at(-1)?.end(),
      onEnd: () => failed.reject(new Error('taken as whole')),
      onFailure: failed.resolve,
      onDrain: () => {},
      onUpgrade: () => {},
    })
    assert.equal((await failed.promise).maybeProcessed, true)
  })

  it('carries gRPC with both sides of the proxy in tunnels', async () => {
    const { port, server } = await startEcho({
      Unary: (call, callback) => {
        const trailer = new Metadata()
        trailer.set('x-trailer', 'yes')
        callback(null, call.request, trailer)
      },
    })
    closers.push(() => server.forceShutdown())
    // Endpoint side: a tunnel server that passes bytes to the gRPC server. Client side: the same towards the proxy.
    const byteTunnel = (to: () => Duplex): Promise<number> => {
      const plain = http2.createServer()
      plain.on('session', (session) => closers.push(() => session.destroy()))
      plain.on('stream', (stream) => {
        stream.on('error', () => {})
        stream.respond({ ':status': 200 })
        const socket = to()
        socket.on('error', () => {})
        stream.pipe(socket).pipe(stream)
      })
      return portOf(plain)
    }
    const pool = createHttp2Pool(dialTunnel(outer(await byteTunnel(() => connect(port, '127.0.0.1')))), poolLimits, systemClock)
    closers.push(() => pool.destroy())
    const entrance = outer(await tunnelServer(relay(() => pool), true))
    const local = await portOf(createServer((socket) => {
      socket.on('error', () => {})
      void dialTunnel(entrance)().then((tunnel) => {
        tunnel.on('error', () => {})
        socket.pipe(tunnel).pipe(socket)
      })
    }))
    const client = echoClient(local)
    closers.push(() => client.close())
    const results = await Promise.all(Array.from({ length: 50 }, (_each, i) => callUnary(client, Buffer.alloc(10_000, String(i)))))
    assert.deepEqual(results.filter((each) => each.code !== (status.OK as number)), [])
    assert.ok(results.every((each) => each.message?.length === 10_000 && each.trailer.get('x-trailer')[0] === 'yes'))
    assert.equal(connections.length, 1)
  })
})
