import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { systemClock } from '../../src/kit/clock.ts'
import { fakeClock } from '../../src/kit/testing/fake-clock.ts'
import { dialLoopback, listenTcp } from '../../src/transport/testing/mesh.ts'
import type { CompiledRule, ConnectionTable } from '../compiled.ts'
import type { BackendTarget } from '../../src/model/route.ts'
import { clientHello } from '../testing/client-hello.ts'
import { DialError } from '../upstream.ts'
import { forwardTcp } from './tcp.ts'
import type { ConnectionReport, ConnectionRoute, ServiceTarget } from './tcp.ts'
import { forwardTls } from './tls.ts'

const service = (name: string): ServiceTarget => ({ kind: 'service', namespace: 'shop', name, port: 80 })

function rule(name: string, target: BackendTarget | undefined): CompiledRule {
  const filters = { onRequest: () => undefined, onResponse: () => {}, mirrors: [], empty: true }
  const backend = target === undefined ? undefined : { target, weight: 1, filters }
  return {
    id: { routeKind: 'TCPRoute', namespace: 'shop', name, rule: 0 },
    filters,
    backends: backend === undefined ? [] : [backend],
    pickBackend: () => backend,
    timeouts: {},
    retry: undefined,
    persistence: undefined,
  }
}

/** Endpoints by Service name; each is a port on loopback. */
function routeTo(endpoints: Readonly<Record<string, readonly number[]>>, table?: ConnectionTable): ConnectionRoute<number> {
  return {
    destination: service('own'),
    table,
    pick: (target, tried) => (endpoints[target.name] ?? []).find((port) => !tried.includes(port)),
    dial: async (port) => {
      try {
        return await dialLoopback(port)
      } catch (cause) {
        throw new DialError('connect-failure', 'refused', { cause })
      }
    },
  }
}

describe('forwardTcp', () => {
  const cleanups: (() => void)[] = []
  afterEach(() => { for (const cleanup of cleanups.splice(0)) cleanup() })

  /** A backend that says its name first, then echoes. */
  const backend = async (name: string): Promise<number> => {
    const listener = await listenTcp((socket) => {
      socket.write(`${name}:`)
      socket.pipe(socket)
    })
    cleanups.push(listener.close)
    return listener.port
  }
  const unusedPort = async (): Promise<number> => {
    const listener = await listenTcp(() => {})
    listener.close()
    return listener.port
  }

  /** A client whose connection is forwarded by `forward`. */
  const client = async (
    forward: (stream: Socket) => Promise<ConnectionReport<number>>,
  ): Promise<{ socket: Socket; report: Promise<ConnectionReport<number>> }> => {
    const accepted = Promise.withResolvers<Socket>()
    const listener = await listenTcp((socket) => accepted.resolve(socket))
    cleanups.push(listener.close)
    const socket = await dialLoopback(listener.port)
    cleanups.push(() => socket.destroy())
    return { socket, report: forward(await accepted.promise) }
  }

  it('sends to the Service\'s own endpoints if there is no table, and lets the server speak first', async () => {
    const route = routeTo({ own: [await backend('own')] })
    const { socket, report } = await client((stream) => forwardTcp(stream, route, { clock: systemClock }))
    const greeting = await new Promise<Buffer>((resolve) => socket.once('data', resolve))
    assert.equal(String(greeting), 'own:')
    socket.end('bye')
    assert.equal(await text(socket), 'bye')
    const { reason, bytesFromClient, bytesToClient, tries } = await report
    assert.deepEqual({ reason, bytesFromClient, bytesToClient, tries }, { reason: undefined, bytesFromClient: 3, bytesToClient: 7, tries: 1 })
  })

  it('tries another endpoint once if the first can not be reached, and no third', async () => {
    const [dead1, dead2, good] = [await unusedPort(), await unusedPort(), await backend('b')]
    const first = await client((stream) => forwardTcp(stream, routeTo({ own: [dead1, good] }), { clock: systemClock }))
    first.socket.end('x')
    assert.equal(await text(first.socket), 'b:x')
    assert.equal((await first.report).tries, 2)
    const second = await client((stream) => forwardTcp(stream, routeTo({ own: [dead1, dead2, good] }), { clock: systemClock }))
    await assert.rejects(text(second.socket), { code: 'ECONNRESET' })
    const { reason, tries } = await second.report
    assert.deepEqual({ reason, tries }, { reason: 'connect-failure', tries: 2 })
  })

  const refusals: readonly (readonly [what: string, table: ConnectionTable | undefined, reason: string])[] = [
    ['no rule matches', { find: () => undefined }, 'no-route'],
    ['the rule has no backend with a weight', { find: () => rule('r', undefined) }, 'no-backend'],
    ['it is an invalid backend\'s share', { find: () => rule('r', { kind: 'invalid', reason: 'invalid-backend', detail: 'missing' }) }, 'invalid-backend'],
    ['the backend has no endpoint', { find: () => rule('r', service('empty')) }, 'no-endpoint'],
  ]
  for (const [what, table, expected] of refusals) {
    it(`resets the connection if ${what}: never a clean end, never the Service's own endpoints`, async () => {
      const route = routeTo({ own: [await backend('own')] }, table)
      const { socket, report } = await client((stream) => forwardTcp(stream, route, { clock: systemClock }))
      await assert.rejects(text(socket), { code: 'ECONNRESET' })
      assert.equal((await report).reason, expected)
    })
  }

  it('reports an endpoint that cuts the connection, and the client sees the cut', async () => {
    const listener = await listenTcp((socket) => socket.once('data', () => socket.resetAndDestroy()))
    cleanups.push(listener.close)
    const { socket, report } = await client((stream) => forwardTcp(stream, routeTo({ own: [listener.port] }), { clock: systemClock }))
    socket.write('x')
    await assert.rejects(text(socket), { code: 'ECONNRESET' })
    assert.equal((await report).reason, 'upstream-reset')
  })

  it('gives a dial up when the client leaves meanwhile', async () => {
    const dialled = Promise.withResolvers<AbortSignal>()
    const route: ConnectionRoute<number> = {
      ...routeTo({ own: [1] }),
      dial: (_port, signal) => {
        dialled.resolve(signal)
        return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))))
      },
    }
    const { socket, report } = await client((stream) => {
      stream.resume()
      return forwardTcp(stream, route, { clock: systemClock })
    })
    await dialled.promise
    socket.resetAndDestroy()
    const { reason, tries } = await report
    assert.deepEqual({ reason, tries }, { reason: 'client-gone', tries: 1 })
  })

  describe('of TLS', () => {
    const table: ConnectionTable = { find: (name) => (name === 'a.example' ? rule('a', service('a')) : name === undefined ? rule('any', service('any')) : undefined) }

    it('goes by the server name and passes every byte of the hello on', async () => {
      const route = routeTo({ own: [await backend('own')], a: [await backend('a')], any: [await backend('any')] }, table)
      const hello = await clientHello('A.example')
      const { socket, report } = await client((stream) => forwardTls(stream, route, { clock: fakeClock() }))
      socket.setEncoding('latin1')
      socket.end(hello)
      assert.equal(await text(socket), `a:${hello.toString('latin1')}`)
      assert.equal((await report).rule?.name, 'a')
    })

    it('gives what is not TLS only to rules without hostnames', async () => {
      const route = routeTo({ any: [await backend('any')] }, table)
      const { socket } = await client((stream) => forwardTls(stream, route, { clock: fakeClock() }))
      socket.end('plain')
      assert.equal(await text(socket), 'any:plain')
    })

    it('resets a connection whose name no rule has', async () => {
      const { socket, report } = await client((stream) => forwardTls(stream, routeTo({}, table), { clock: fakeClock() }))
      socket.write(await clientHello('b.example'))
      await assert.rejects(text(socket), { code: 'ECONNRESET' })
      assert.equal((await report).reason, 'no-route')
    })

    it('does not wait for a hello if there are no routes', async () => {
      const route = routeTo({ own: [await backend('own')] })
      const { socket } = await client((stream) => forwardTls(stream, route, { clock: fakeClock() }))
      const greeting = await new Promise<Buffer>((resolve) => socket.once('data', resolve))
      assert.equal(String(greeting), 'own:')
    })
  })
})
