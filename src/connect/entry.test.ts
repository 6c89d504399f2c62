import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http'
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net'
import { createCa } from '../../ca/server.ts'
import { memoryStore } from '../../ca/store.ts'
import { systemClock } from '../kit/clock.ts'
import { entryKey, type Endpoint, type Entry as SnapshotEntry } from '../model/entries.ts'
import type { Identity } from '../model/identity.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { keepCredentials } from '../transport/credentials.ts'
import { listenHbone } from '../transport/hbone-server.ts'
import { startEntry, type Entry } from './entry.ts'

const trustDomain = 'cluster.local'
const clock = systemClock

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
  readonly trailers: NodeJS.Dict<string>
}

async function ask(entry: Entry, url: string, options: { readonly method?: string; readonly headers?: Record<string, string> } = {}, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { host, port } = entry.address
    const request = httpRequest({ host, port, path: url, agent: false, ...options, headers: { host: new URL(url, 'http://none').host, ...options.headers } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString(), trailers: response.trailers }))
    })
    request.on('error', reject)
    request.end(body)
  })
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

const service = (namespace: string, name: string, port: number, waypoint?: string): SnapshotEntry => ({
  kind: 'service', namespace, name, clusterIPs: [], headless: false, ports: [{ port, protocol: 'http' }], ...(waypoint === undefined ? {} : { waypoint }),
})
const plain = (port: number, address = '127.0.0.1'): Endpoint => ({ address, port, condition: 'ready', transport: { kind: 'plain' } })
const endpoints = (namespace: string, name: string, port: number, ...list: Endpoint[]): SnapshotEntry => ({ kind: 'endpoints', namespace, name, ports: [{ port, endpoints: list }] })

/** Heads that Node's client takes and its server refuses to write. */
const oddAnswers = new Map([
  ['/hint', 'HTTP/1.1 103 Early Hints\r\nlink: nonsense\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'],
  ['/phrase', 'HTTP/1.1 200 O\x01K\r\ncontent-length: 0\r\n\r\n'],
  ['/status', 'HTTP/1.1 000 none\r\ncontent-length: 0\r\n\r\n'],
])

describe('entry', function () {
  const app = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      if (request.url === '/cut') {
        response.writeHead(200, { 'content-length': 100 })
        response.write('half', () => response.socket?.destroy())
        return
      }
      if (request.url === '/more-than-is-read') {
        response.on('close', () => app.emit('left'))
        response.writeHead(200)
        response.write(Buffer.alloc(8_000_000))
        return
      }
      response.writeHead(200, { trailer: 'x-sum', 'x-seen': 'yes' })
      response.addTrailers({ 'x-sum': '42' })
      response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(chunks).toString(), trailers: request.trailers }))
    })
  })
  let upgraded: IncomingMessage['headers'] = {}
  app.on('upgrade', (request: IncomingMessage, socket: Socket) => {
    upgraded = request.headers
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n')
    socket.pipe(socket)
  })
  const odd = createTcpServer((socket) => {
    socket.on('error', () => {})
    socket.on('close', () => odd.emit('left'))
    socket.once('data', (head: Buffer) => socket.end(Buffer.from(oddAnswers.get(head.toString().split(' ')[1] ?? '') ?? '', 'latin1')))
  })
  let entry: Entry
  let snapshot: Snapshot
  const authorities: string[] = []
  const stops: (() => unknown)[] = []

  before(async () => {
    const ca = await createCa({ store: memoryStore(), trustDomain, clock })
    const credentials = async (identity: Identity) => {
      const kept = await keepCredentials({ identity, fetch: (key) => ca.issue(identity, key), clock, onError: () => {} })
      stops.push(() => kept.close())
      return kept
    }
    const appPort = await listen(app)
    stops.push(() => app.close(), () => app.closeAllConnections())
    const hbone = await listenHbone({
      credentials: await credentials({ trustDomain, namespace: 'books', serviceAccount: 'waypoint' }),
      host: '127.0.0.1', port: 0, clock,
      onTunnel: (tunnel) => {
        authorities.push(`${tunnel.peerId} ${tunnel.authority}`)
        if (tunnel.host.startsWith('refused')) tunnel.refuse(503, 'no-configuration')
        else app.emit('connection', tunnel.accept())
      },
    })
    stops.push(() => hbone.close())
    entry = await startEntry({ credentials: await credentials({ trustDomain, namespace: 'shop', serviceAccount: 'till' }), host: '127.0.0.1', port: 0, clock })
    stops.push(() => entry.close())
    const entries: SnapshotEntry[] = [
      service('books', 'reviews', 9080, 'waypoint/books/waypoint'), service('books', 'refused', 9080, 'waypoint/books/waypoint'),
      { kind: 'waypoint', namespace: 'books', name: 'waypoint', identity: 'spiffe://cluster.local/ns/books/sa/waypoint', addresses: [{ host: '127.0.0.1', port: hbone.address.port }] },
      service('gone', 'echo', 80, 'waypoint/gone/waypoint'),
      { kind: 'waypoint', namespace: 'gone', name: 'waypoint', identity: 'spiffe://cluster.local/ns/gone/sa/waypoint', addresses: [{ host: '127.0.0.1', port: 1 }] },
      service('impostor', 'echo', 80, 'waypoint/impostor/waypoint'),
      { kind: 'waypoint', namespace: 'impostor', name: 'waypoint', identity: 'spiffe://cluster.local/ns/impostor/sa/waypoint', addresses: [{ host: '127.0.0.1', port: hbone.address.port }] },
      service('flat', 'echo', 80), endpoints('flat', 'echo', 80, plain(1), plain(appPort)),
      service('flat', 'empty', 80), endpoints('flat', 'empty', 80),
    ]
    await new Promise<void>((resolve) => odd.listen(0, '127.0.0.1', resolve))
    stops.push(() => odd.close())
    entries.push(service('flat', 'odd', 80), endpoints('flat', 'odd', 80, plain((odd.address() as AddressInfo).port)))
    snapshot = new Map(entries.map((each) => [entryKey(each), each]))
  })
  after(async () => {
    for (const stop of stops.reverse()) await stop()
  })

  it('refuses everything until it has a configuration', async () => {
    assert.equal((await ask(entry, 'http://reviews.books:9080/')).headers['x-waypoint-reason'], 'no-configuration')
    entry.configure(snapshot)
  })

  it("opens a tunnel to the Service's waypoint with the original destination and its own identity, and sends the request as it came", async () => {
    const answer = await ask(entry, 'http://reviews.books:9080/a%2fb?x=1', { method: 'PUT', headers: { 'X-Thing': 'One', 'x-forwarded-client-cert': 'forged', 'transfer-encoding': 'chunked' } }, 'body')
    assert.equal(answer.status, 200, answer.body)
    assert.equal(authorities.at(-1), 'spiffe://cluster.local/ns/shop/sa/till reviews.books.svc.cluster.local:9080')
    const seen = JSON.parse(answer.body) as { method: string; url: string; body: string; headers: Record<string, string> }
    assert.equal(`${seen.method} ${seen.url} ${seen.body}`, 'PUT /a%2fb?x=1 body')
    assert.equal(seen.headers['host'], 'reviews.books:9080')
    assert.equal(seen.headers['x-thing'], 'One')
    assert.equal(seen.headers['x-forwarded-client-cert'], undefined)
    assert.equal(answer.trailers['x-sum'], '42')
  })

  it('carries raw bytes by CONNECT', async () => {
    const socket = connect(entry.address.port, entry.address.host)
    socket.write('CONNECT reviews.books:9080 HTTP/1.1\r\nhost: reviews.books:9080\r\n\r\nGET /raw HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n')
    const text = Buffer.concat(await socket.toArray() as Buffer[]).toString()
    assert.match(text, /^HTTP\/1\.1 200 Connection Established\r\n\r\nHTTP\/1\.1 200 OK/)
    assert.match(text, /"url":"\/raw"/)
  })

  it('carries upgrades', async () => {
    const socket = connect(entry.address.port, entry.address.host)
    socket.write('GET http://reviews.books:9080/chat HTTP/1.1\r\nhost: reviews.books:9080\r\nconnection: Upgrade\r\nupgrade: websocket\r\nX_Forwarded_Client_Cert: forged\r\nX-Forwarded-Client-Cert: forged\r\nx-kept: 1\r\n\r\n')
    let text = ''
    await new Promise<void>((resolve, reject) => {
      socket.on('error', reject)
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString()
        if (text.endsWith('ping')) resolve()
        else if (text.includes('\r\n\r\n')) socket.write('ping')
      })
    })
    socket.destroy()
    assert.match(text, /^HTTP\/1\.1 101 /)
    assert.equal(upgraded['x-kept'], '1')
    assert.ok(!JSON.stringify(upgraded).includes('forged'))
  })

  for (const [what, url, status, code] of [
    ['an unknown Service', 'http://nobody.books/', 502, 'unknown-destination'],
    ['a port that the Service lacks', 'http://reviews.books:9999/', 502, 'unknown-destination'],
    ['a waypoint that can not be reached', 'http://echo.gone/', 503, 'no-waypoint'],
    ['a waypoint that is not who it must be', 'http://echo.impostor/', 503, 'peer-identity'],
    ['a Service without endpoints', 'http://empty.flat/', 503, 'no-endpoint'],
    ['what the waypoint itself refuses', 'http://refused.books:9080/', 503, 'no-configuration'],
    ['a request that is not for a proxy', '/', 400, 'malformed-request'],
  ] as const) {
    it(`refuses ${what} with ${status} ${code} and an advice`, async () => {
      const answer = await ask(entry, url)
      assert.equal(`${answer.status} ${String(answer.headers['x-waypoint-reason'])}`, `${status} ${code}`)
      assert.ok(answer.body.split('\n').length >= 2)
    })
  }

  it('goes to the next endpoint when one does not take connections', async () => {
    for (let time = 0; time < 4; time++) assert.equal((await ask(entry, 'http://echo.flat/')).status, 200)
  })

  it('outlives answers that can not be passed on', async () => {
    for (const path of ['/phrase', '/status']) {
      const answer = await ask(entry, `http://odd.flat${path}`)
      assert.deepEqual([answer.status, answer.headers['x-waypoint-reason']], [502, 'upstream-protocol'], path)
    }
    const hinted = await ask(entry, 'http://odd.flat/hint')
    assert.deepEqual([hinted.status, hinted.body], [200, 'ok'])
  })

  it('lets go of an answer, to its far end, when the client is gone without reading it', async () => {
    const left = once(app, 'left')
    const client = connect(entry.address.port, '127.0.0.1', () => client.write('GET http://reviews.books:9080/more-than-is-read HTTP/1.1\r\nhost: reviews.books\r\n\r\n'))
    await once(client, 'readable')
    client.resetAndDestroy()
    await left
  })

  it('keeps no connection of an upgrade whose Host is no host', async () => {
    const left = once(odd, 'left')
    const client = connect(entry.address.port, '127.0.0.1', () => client.write('GET http://odd.flat/ HTTP/1.1\r\nhost: a b\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'))
    client.resume()
    await left
  })

  it('never shows a cut answer as a whole one', async () => {
    await assert.rejects(ask(entry, 'http://echo.flat/cut'))
  })
})
