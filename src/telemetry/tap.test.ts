import assert from 'node:assert/strict'
import { get, type IncomingMessage } from 'node:http'
import { systemClock } from '../kit/clock.ts'
import { fakeClock, type FakeClock } from '../kit/testing/fake-clock.ts'
import { unknownEnd, type ConnectionRecord } from './connections.ts'
import { ConnectionCounters, connectionTelemetry } from './connection-counters.ts'
import { createTelemetry } from './create.ts'
import { serveStatus, type StatusServer } from './server.ts'
import { decodeTapFilter, encodeTapFilter, fitsConnection, fitsExchange, type TapFilter } from './tap-filter.ts'
import { tapPage } from './tap-page.ts'
import { ringSize, TapOutput, TapPoint } from './tap.ts'
import type { ExchangeRecord } from './telemetry.ts'

const exchange = (changes: Partial<ExchangeRecord> = {}): ExchangeRecord => ({
  startMs: 0, protocol: 'http1', method: 'GET', authority: 'reviews:9080', path: '/a?b=c', source: 'spiffe://td/ns/shop/sa/till', service: 'reviews', namespace: 'books',
  port: 9080, level: 'producer', rule: undefined, endpoint: '10.0.0.1:9080', tries: 1, status: 200,
  grpcStatus: undefined, reason: undefined, detail: '', bytesIn: 10, bytesOut: 20, traceId: '', ...changes,
})
const connection = (changes: Partial<ConnectionRecord> = {}): ConnectionRecord => ({
  startMs: 0, direction: 'outbound', source: { namespace: 'shop', workload: 'till', pod: 'till-1', id: 'spiffe://td/ns/shop/sa/cashier', address: '10.1.0.1:5' },
  destination: { namespace: 'books', workload: 'reviews', pod: '', id: '', address: '10.96.0.1:80' }, service: 'books/reviews', via: 'waypoint', peer: '10.1.0.2:15008',
  transport: 'mtls', tries: 1, outcome: 'allowed', reason: undefined, policy: '', audit: [], detail: '', bytesIn: 10, bytesOut: 20, ended: 'clean', counted: undefined, ...changes,
})

describe('a filter of the tap', () => {
  const requests: readonly [TapFilter, Partial<ExchangeRecord>, boolean][] = [
    [{}, {}, true],
    [{ kind: 'connection' }, {}, false], [{ kind: 'connection' }, { protocol: 'tcp' }, true],
    [{ method: 'GET' }, {}, true], [{ method: 'POST' }, {}, false],
    [{ path: '/a' }, {}, true], [{ path: '/b' }, {}, false],
    [{ status: '200' }, {}, true], [{ status: '5xx' }, { status: 503 }, true], [{ status: '5xx' }, {}, false],
    [{ namespace: 'books' }, {}, true], [{ namespace: 'shop' }, {}, true], [{ namespace: 'club' }, {}, false],
    [{ service: 'books/reviews' }, {}, true], [{ service: 'books/other' }, {}, false],
    [{ source: 'shop' }, {}, true], [{ source: 'shop/till' }, {}, true], [{ source: 'books' }, {}, false],
    [{ destination: 'books/reviews' }, {}, true], [{ destination: 'shop' }, {}, false],
    [{ pod: 'books/r-1', addresses: ['10.0.0.1'] }, {}, true], [{ pod: 'shop/till-1', account: 'shop/till' }, {}, true], [{ pod: 'books/r-2', addresses: ['10.0.0.2'] }, {}, false],
    [{ verdict: 'allowed' }, { status: 500 }, true], [{ verdict: 'denied' }, { reason: 'denied' }, true],
    [{ verdict: 'refused' }, { reason: 'no-route', tries: 0 }, true], [{ verdict: 'failed' }, { reason: 'connect-failure' }, true], [{ verdict: 'audited' }, { audit: ['books/watch'] }, true], [{ verdict: 'audited' }, {}, false],
  ]
  for (const [filter, changes, fits] of requests) {
    it(`${fits ? 'shows' : 'hides'} with ${JSON.stringify(filter)} a request ${JSON.stringify(changes)}`, () => assert.equal(fitsExchange(filter, exchange(changes)), fits))
  }

  const connections: readonly [TapFilter, Partial<ConnectionRecord>, boolean][] = [
    [{}, {}, true], [{ kind: 'request' }, {}, false], [{ method: 'GET' }, {}, false], [{ path: '/' }, {}, false], [{ status: '200' }, {}, false],
    [{ namespace: 'shop' }, {}, true], [{ namespace: 'books' }, {}, true], [{ namespace: 'club' }, {}, false],
    [{ pod: 'shop/till-1' }, {}, true], [{ pod: 'shop/till-2' }, {}, false],
    [{ service: 'books/reviews' }, {}, true], [{ service: 'books/reviews', addresses: ['10.1.0.9'] }, { service: '', destination: unknownEnd('10.1.0.9:80') }, true], [{ service: 'books/reviews' }, { service: '' }, false],
    [{ source: 'shop/till' }, {}, true], [{ source: 'shop/cashier' }, {}, true], [{ source: 'shop/till-1' }, {}, true], [{ source: 'shop/other' }, {}, false], [{ destination: 'books/reviews' }, {}, true],
    [{ verdict: 'denied' }, { outcome: 'denied' }, true], [{ verdict: 'denied' }, {}, false],
  ]
  for (const [filter, changes, fits] of connections) {
    it(`${fits ? 'shows' : 'hides'} with ${JSON.stringify(filter)} a connection ${JSON.stringify(changes)}`, () => assert.equal(fitsConnection(filter, connection(changes)), fits))
  }

  it('travels as a query and comes back', () => {
    const filter: TapFilter = { kind: 'request', pod: 'a/b', addresses: ['10.0.0.1', 'fd00::1'], path: '/a&b=c', status: '5xx', verdict: 'denied' }
    const back = decodeTapFilter(new URLSearchParams(encodeTapFilter(filter).toString()))
    assert.deepEqual(JSON.parse(JSON.stringify(back)), filter)
    for (const query of ['kind=x', 'verdict=maybe', 'status=20']) assert.throws(() => decodeTapFilter(new URLSearchParams(query)), TypeError)
  })
})

describe('the output of a tap', () => {
  let clock: FakeClock
  let lines: string[]
  let dropped: number
  let ready: boolean
  const open = (rate: number): TapOutput => new TapOutput(clock, rate, {
    write: (more, lost) => {
      lines.push(...more)
      dropped += lost
    },
    ready: () => ready,
  })
  beforeEach(() => {
    clock = fakeClock()
    lines = []
    dropped = 0
    ready = true
  })

  it('lets through so many lines a second, counts the others, and puts none of those into words', () => {
    const output = open(10)
    let worded = 0
    const offer = (times: number): void => {
      for (let at = 0; at < times; at++) output.offer(() => String(worded++))
    }
    offer(25)
    clock.advance(100)
    assert.deepEqual([lines.length, dropped, worded], [10, 15, 10])
    clock.advance(400)
    offer(25)
    clock.advance(100)
    assert.deepEqual([lines.length, dropped, worded], [15, 35, 15])
  })

  it('keeps the newest of a fixed number while nobody reads, and counts the others', () => {
    const output = open(ringSize * 2)
    ready = false
    for (let at = 0; at < ringSize + 7; at++) output.offer(() => String(at))
    clock.advance(1_000)
    assert.equal(lines.length, 0)
    ready = true
    clock.advance(100)
    assert.deepEqual([lines.length, lines[0], lines.at(-1), dropped], [ringSize, '7', String(ringSize + 6), 7])
  })
})

describe('the tap of a process', () => {
  let server: StatusServer
  let point: TapPoint
  beforeEach(async () => {
    point = new TapPoint(systemClock)
    server = await serveStatus({ host: '127.0.0.1', port: 0 }, {}, { '/tap': tapPage(point, systemClock, 'agent a-1') })
  })
  afterEach(() => server.close())
  const open = (query: string): Promise<IncomingMessage> => new Promise((resolve, reject) => get({ host: '127.0.0.1', port: server.address.port, path: `/tap${query}`, agent: false }, resolve).on('error', reject))
  const until = async (true_: () => boolean): Promise<void> => {
    for (let turn = 0; turn < 2_000 && !true_(); turn++) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.ok(true_())
  }

  it('shows requests and connections as they are logged, to whoever looks on, and knows when nobody does any more', async () => {
    const requests = createTelemetry('books/waypoint', { tap: point })
    const connections = connectionTelemetry('n1', new ConnectionCounters(), { tap: point })
    requests.exchangeDone(exchange({ path: '/unseen' }), 1)
    assert.equal(point.listening, false)
    const answer = await open('?namespace=books')
    let text = ''
    answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    await until(() => point.listening)
    requests.exchangeDone(exchange({ status: 403, reason: 'denied', tries: 0 }), 1.5)
    requests.exchangeDone(exchange({ namespace: 'club', source: '' }), 1)
    connections.connectionOpened?.(connection({ ended: '' }), () => {})
    connections.connectionDone(connection(), 20)
    await until(() => text.split('\n').length > 4)
    const lines = text.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
    assert.deepEqual(lines.map(({ kind, event, verdict, process, path }) => [kind, event ?? process, verdict, path]), [
      ['tapping', 'agent a-1', undefined, undefined], ['request', undefined, 'denied', '/a?b=c'], ['connection', 'opened', 'allowed', undefined], ['connection', 'ended', 'allowed', undefined],
    ])
    answer.destroy()
    await until(() => !point.listening)
  })

  it('tells how many lines were dropped', async () => {
    const answer = await open('?rate=1')
    let text = ''
    answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    await until(() => point.listening)
    for (let at = 0; at < 5; at++) point.exchange('books/waypoint', exchange(), 1)
    await until(() => text.includes('dropped'))
    assert.match(text, /\{"kind":"dropped","count":4\}\n/)
    answer.destroy()
  })

  it('refuses a filter that it can not read, and a fifth onlooker', async () => {
    const bad = await open('?status=fine')
    assert.equal(bad.statusCode, 400)
    bad.resume()
    const all = await Promise.all(Array.from({ length: 4 }, () => open('')))
    const fifth = await open('')
    assert.deepEqual([...all.map(({ statusCode }) => statusCode), fifth.statusCode], [200, 200, 200, 200, 503])
    fifth.resume()
    for (const each of all) each.destroy()
    await until(() => !point.listening)
  })
})
