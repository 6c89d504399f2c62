import assert from 'node:assert/strict'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { fakeClock, type FakeClock } from '../../src/kit/testing/fake-clock.ts'
import type { Endpoint } from '../../src/model/entries.ts'
import type { HttpRule } from '../../src/model/route.ts'
import { endpoints, http, routes, service, to } from './testing/entries.ts'
import { askOver, endpoint, startRig, type Rig } from './testing/rig.ts'

describe('a waypoint, when things fail,', () => {
  let rig: Rig
  let clock: FakeClock
  beforeEach(async () => {
    clock = fakeClock(Date.now())
    rig = await startRig({ clock })
  })
  afterEach(async () => {
    await rig.settled()
    await rig.close()
  })

  /** Every request meets `rule`, whose one backend has these endpoints. */
  const configure = (rule: Partial<HttpRule> | undefined, ...all: readonly Endpoint[]): void => {
    const reviews = service('books', 'reviews', '10.0.0.1')
    rig.configure([
      reviews, endpoints('books', 'reviews', ...all),
      ...(rule === undefined ? [] : [routes('producer', 'books', reviews, http({ backends: [to('books', 'reviews')], ...rule }))]),
    ])
  }

  /** Answers each request of all its connections by the next of `statuses`, then 200; remembers the bodies. */
  const flaky = async (statuses: number[]): Promise<{ endpoint: Endpoint; seen: string[] }> => {
    const seen: string[] = []
    const backend = await rig.backend((request, response) => {
      let body = ''
      request.on('data', (chunk) => { body += String(chunk) })
      request.on('end', () => {
        seen.push(`${request.method ?? ''} ${body}`)
        response.writeHead(statuses.shift() ?? 200).end(`try ${seen.length}`)
      })
    })
    return { endpoint: backend, seen }
  }

  /** Takes connections, reads, and does what `then` says. */
  const rawBackend = async (then: (socket: Socket) => void): Promise<Endpoint> => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      then(socket)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const sockets = new Set<Socket>()
    server.on('connection', (socket) => sockets.add(socket))
    rig.onClose(() => {
      server.close()
      for (const socket of sockets) socket.destroy()
    })
    return endpoint((server.address() as AddressInfo).port)
  }

  const nobody = async (): Promise<Endpoint> => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    await new Promise<void>((resolve) => server.close(() => resolve()))
    return endpoint(port)
  }

  const retry = (attempts: number, ...codes: number[]): Partial<HttpRule> => ({ retry: { attempts, codes, backoffMs: 0 } })

  it('retries the listed codes with the same body, at most as often as it may', async () => {
    const backend = await flaky([503, 503])
    configure(retry(2, 503), backend.endpoint)
    const answer = await rig.ask({ method: 'POST', body: 'hello' })
    assert.deepEqual([answer.status, answer.body], [200, 'try 3'])
    assert.deepEqual(backend.seen, ['POST hello', 'POST hello', 'POST hello'])
    assert.equal(rig.records[0]?.tries, 3)
    assert.equal(rig.counts.get('retry'), 2)
  })

  it('passes the last answer on when the retries are exhausted, and says so', async () => {
    const backend = await flaky([503, 500, 503, 503])
    configure(retry(1, 500, 503), backend.endpoint)
    const answer = await rig.ask()
    assert.deepEqual([answer.status, answer.body, answer.headers['x-waypoint-reason']], [500, 'try 2', 'retries-exhausted'])
    assert.equal(rig.records[0]?.reason, 'retries-exhausted')
  })

  it('does not retry codes that are not listed', async () => {
    const backend = await flaky([502])
    configure(retry(3, 503), backend.endpoint)
    assert.equal((await rig.ask()).status, 502)
    assert.equal(backend.seen.length, 1)
  })

  it('waits for the back-off between tries', async () => {
    const backend = await flaky([503])
    configure({ retry: { attempts: 1, codes: [503], backoffMs: 1000 } }, backend.endpoint)
    const answer = rig.ask()
    await until(() => backend.seen.length === 1 && rig.counts.get('retry') === 1)
    clock.advance(999)
    await turn()
    assert.equal(backend.seen.length, 1)
    clock.advance(501)
    assert.equal((await answer).status, 200)
  })

  it('does not repeat a body that is larger than the buffer', async () => {
    const backend = await flaky([503])
    configure(retry(1, 503), backend.endpoint)
    const answer = await rig.ask({ method: 'PUT', body: Buffer.alloc(200_000, 'x') })
    assert.equal(answer.status, 503)
    assert.equal(backend.seen.length, 1)
    assert.equal(backend.seen[0]?.length, 200_004)
  })

  it('tries a connect failure once on another endpoint without a retry stanza', async () => {
    const backend = await flaky([])
    const dead = await nobody()
    configure(undefined, dead, backend.endpoint)
    for (let i = 0; i < 8; i++) assert.equal((await rig.ask({ method: 'POST', body: 'x' })).status, 200)
    assert.ok(rig.records.some(({ tries }) => tries === 2))
    assert.equal(backend.seen.length, 8)
  })

  it('answers 503 connect-failure if no endpoint takes the connection', async () => {
    configure(undefined, await nobody())
    const answer = await rig.ask()
    assert.deepEqual([answer.status, answer.headers['x-waypoint-reason']], [503, 'connect-failure'])
    assert.equal(rig.records[0]?.tries, 1)
  })

  it('retries a reset of an idempotent request by the stanza, but not of another', async () => {
    let connections = 0
    const cutter = await rawBackend((socket) => socket.once('data', () => {
      connections++
      socket.resetAndDestroy()
    }))
    configure(retry(2), cutter)
    const get = await rig.ask()
    assert.deepEqual([get.status, get.headers['x-waypoint-reason'], connections], [502, 'retries-exhausted', 3])
    const post = await rig.ask({ method: 'POST', body: 'x' })
    assert.deepEqual([post.status, post.headers['x-waypoint-reason'], connections], [502, 'upstream-reset', 4])
  })

  it('answers 502 to a reset and to what is not HTTP', async () => {
    configure(undefined, await rawBackend((socket) => socket.once('data', () => socket.resetAndDestroy())))
    assert.equal((await rig.ask()).headers['x-waypoint-reason'], 'upstream-reset')
    configure(undefined, await rawBackend((socket) => socket.once('data', () => socket.end('SSH-2.0-x\r\n\r\n'))))
    const answer = await rig.ask()
    assert.deepEqual([answer.status, answer.headers['x-waypoint-reason']], [502, 'upstream-protocol'])
  })

  it('answers 504 when the request timeout passes, and gives the backend up', async () => {
    let asked = false
    let closed = false
    const silent = await rawBackend((socket) => socket.once('data', () => {
      asked = true
      socket.once('close', () => { closed = true })
    }))
    configure({ timeouts: { requestMs: 500 } }, silent)
    const answer = rig.ask()
    await until(() => asked)
    clock.advance(500)
    const { status, headers } = await answer
    assert.deepEqual([status, headers['x-waypoint-reason']], [504, 'request-timeout'])
    await until(() => closed)
  })

  it('ends each try at the backendRequest timeout, and retries it if the method is idempotent', async () => {
    let requests = 0
    const silent = await rawBackend((socket) => socket.once('data', () => { requests++ }))
    configure({ timeouts: { backendRequestMs: 100 }, ...retry(1) }, silent)
    const answer = rig.ask()
    await until(() => requests === 1)
    clock.advance(100)
    await until(() => requests === 2)
    clock.advance(100)
    const { status, headers, body } = await answer
    assert.deepEqual([status, headers['x-waypoint-reason']], [504, 'retries-exhausted'])
    assert.match(body, /backend-timeout/)
  })

  it('caps all tries by the request timeout', async () => {
    const backend = await flaky([503])
    configure({ timeouts: { requestMs: 300 }, retry: { attempts: 5, codes: [503], backoffMs: 1000 } }, backend.endpoint)
    const answer = rig.ask()
    await until(() => rig.counts.get('retry') === 1)
    clock.advance(300)
    assert.equal((await answer).status, 504)
    clock.advance(10_000)
    await turn()
    assert.equal(backend.seen.length, 1)
  })

  it('never ends a cut answer cleanly: not at a timeout, not at a reset', async () => {
    const half = await rawBackend((socket) => socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n')))
    configure({ timeouts: { requestMs: 500 } }, half)
    const late = readAll(await rig.open())
    await until(() => late.text().includes('hello'))
    clock.advance(500)
    assert.doesNotMatch(await late.done, /\r\n0\r\n/)
    assert.equal(rig.records[0]?.reason, 'request-timeout')

    let cut = (): void => {}
    const cutter = await rawBackend((socket) => socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n')
      cut = () => socket.resetAndDestroy()
    }))
    configure(undefined, cutter)
    const reset = readAll(await rig.open())
    await until(() => reset.text().includes('hello'))
    cut()
    assert.doesNotMatch(await reset.done, /\r\n0\r\n/)
    assert.equal(rig.records[1]?.reason, 'upstream-reset')
  })

  it('gives the backend up when the client goes', async () => {
    let closed = false
    let asked = false
    const silent = await rawBackend((socket) => socket.once('data', () => {
      asked = true
      socket.once('close', () => { closed = true })
    }))
    configure(undefined, silent)
    const tunnel = await rig.open()
    tunnel.on('error', () => {})
    tunnel.write('GET / HTTP/1.1\r\nhost: reviews\r\n\r\n')
    await until(() => asked)
    tunnel.destroy(new Error('the client goes'))
    await until(() => closed)
    await until(() => rig.records.length === 1)
    assert.equal(rig.records[0]?.reason, 'client-gone')
  })

  it('sends an idle connection that the backend closed meanwhile no error: the request goes out again', async () => {
    let connections = 0
    const closing = await rawBackend((socket) => {
      connections++
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
        // Kept alive by its word, but cut at the next request: the usual race.
        socket.once('data', () => socket.resetAndDestroy())
      })
    })
    configure(undefined, closing)
    for (let i = 1; i <= 3; i++) assert.deepEqual([(await rig.ask()).status, connections], [200, i])
  })

  it('refuses what is beyond its limit of requests', async () => {
    await rig.close()
    rig = await startRig({ clock, limits: { maxRequests: 1 } })
    let asked = 0
    const silent = await rawBackend((socket) => socket.once('data', () => { asked++ }))
    configure(undefined, silent)
    const tunnel = await rig.open()
    const first = askOver(tunnel, {}).catch(() => 'gone')
    await until(() => asked === 1)
    const answer = await rig.ask()
    assert.deepEqual([answer.status, answer.headers['x-waypoint-reason'], answer.headers['retry-after']], [503, 'overload', '1'])
    tunnel.destroy(new Error('enough'))
    await first
    assert.equal(asked, 1)
  })

  it('takes an endpoint out that fails again and again', async () => {
    const good = await flaky([])
    let bad = 0
    const broken = await rawBackend((socket) => socket.once('data', () => {
      bad++
      socket.end('HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
    }))
    configure(undefined, good.endpoint, broken)
    for (let i = 0; i < 60; i++) await rig.ask()
    assert.equal(bad, 5)
  })
})

function readAll(tunnel: Duplex): { readonly text: () => string; readonly done: Promise<string> } {
  let text = ''
  tunnel.on('error', () => {})
  tunnel.on('data', (chunk) => { text += String(chunk) })
  tunnel.write('GET / HTTP/1.1\r\nhost: reviews\r\n\r\n')
  return { text: () => text, done: new Promise((resolve) => tunnel.once('close', () => resolve(text))) }
}

/** Lets everything that is ready on the sockets happen. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 2))
  assert.ok(condition(), 'it did not happen')
}
