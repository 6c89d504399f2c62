import assert from 'node:assert/strict'
import { createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import { systemClock } from '../../kit/clock.ts'
import { noTelemetry } from '../../telemetry/telemetry.ts'
import { startWaypoint, type Waypoint } from '../../../waypoint/waypoint.ts'
import { exchange, failureOf, startWorld, until, type World, type WorldPod } from '../testing/world.ts'

interface Answer {
  readonly status: number
  readonly reason: string | string[] | undefined
  readonly body: string
}

/** One request on a connection of its own. */
function get(socket: Socket, host: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ createConnection: () => socket, path: '/', headers: { host, 'connection': 'close', 'x-forwarded-client-cert': 'URI=spiffe://forged' } }, (answer) => {
      let body = ''
      answer.on('data', (chunk: Buffer) => { body += chunk.toString() })
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, reason: answer.headers['x-waypoint-reason'], body }))
    })
    request.on('error', reject)
    request.end()
  })
}

describe('from pod to pod through a real waypoint', () => {
  let world: World
  let waypoint: Waypoint
  let till: WorldPod
  let books: WorldPod
  let port: number
  let ip: string
  let seen: IncomingHttpHeaders[]
  const http = createServer((request, response) => {
    seen.push(request.headers)
    response.end(`for ${request.socket.remoteAddress ?? ''}`)
  })

  beforeEach(async () => {
    seen = []
    world = startWorld()
    ;[till, books] = [await world.pod('till'), await world.pod('books')]
    port = await books.listen((socket) => void http.emit('connection', socket))
    waypoint = await startWaypoint({
      namespace: 'shop', name: 'waypoint', credentials: world.mesh.source('waypoint'), trustDomain: 'cluster.local', host: '127.0.0.1', port: 0,
      telemetry: noTelemetry, clock: systemClock, sessionKey: Buffer.alloc(32, 7),
    })
    world.waypoint('shop', [waypoint.address])
    ip = world.service('books', [books.endpoint(port)], { waypoint: 'waypoint/shop/waypoint', ports: [{ port: 80, protocol: 'http' }] })
    publish()
  })
  afterEach(async () => {
    await waypoint.close()
    await world.close()
  })

  const publish = (): void => {
    world.publish()
    waypoint.configure(world.view().index.snapshot)
  }

  it('a request arrives, mutually authenticated on both legs, with the identity that was proven', async () => {
    const answer = await get(till.connect(ip, 80), 'anything')
    assert.equal(answer.status, 200)
    assert.match(String(seen[0]?.['x-forwarded-client-cert']), /URI=spiffe:\/\/cluster\.local\/ns\/shop\/sa\/till$/)
    await until('told', () => world.records.some(({ direction }) => direction === 'outbound'))
    const outbound = world.records.find(({ direction }) => direction === 'outbound')!
    assert.deepEqual([outbound.via, outbound.transport, outbound.service], ['waypoint', 'mtls', 'shop/books'])
    assert.deepEqual(till.dials, [`127.0.0.1:${waypoint.address.port}`])
  })

  it('routes apply, and none of them matching is a 404 and not the Service itself', async () => {
    world.put({ kind: 'routes', level: 'producer', namespace: 'shop', service: { namespace: 'shop', name: 'books' }, port: 80, routes: { protocol: 'http', rules: [] } })
    publish()
    const answer = await get(till.connect(ip, 80), 'books')
    assert.deepEqual([answer.status, answer.reason, seen.length], [404, 'no-route', 0])
  })

  it('a port that only the waypoint may reach is reached through it, and by no other way', async () => {
    books.workload = { ...books.workload, ports: [{ port, servicePorts: [80], policies: [], onlyVia: [world.mesh.id('waypoint')] }] }
    world.put(books.workload)
    publish()
    assert.equal((await get(till.connect(ip, 80), 'books')).status, 200)
    assert.equal(await failureOf(till.connect(books.address, port)), 'ECONNRESET')
    assert.equal(await failureOf(books.connectFrom('127.0.0.9', 15006, port)), 'ECONNRESET')
    assert.equal(seen.length, 1)
  })

  it('what is not HTTP goes through it unread, both sides ending for themselves', async () => {
    const echo = await books.listen((socket) => socket.pipe(socket))
    const tcp = world.service('echo', [books.endpoint(echo)], { waypoint: 'waypoint/shop/waypoint', ports: [{ port: 80, protocol: 'tcp' }] })
    publish()
    assert.equal(await exchange(till.connect(tcp, 80), 'hello'), 'hello')
  })

  it('nothing goes when the waypoint is gone', async () => {
    await waypoint.close()
    assert.equal(await failureOf(till.connect(ip, 80)), 'ECONNRESET')
    const { reason, outcome } = world.records.at(-1)!
    assert.deepEqual([reason, outcome, books.dials.length], ['no-waypoint', 'failed', 0])
  })
})
