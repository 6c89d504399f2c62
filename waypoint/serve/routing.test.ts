import assert from 'node:assert/strict'
import { HboneError } from '../../src/transport/errors.ts'
import { endpoints, http, prefix, routes, service, to } from './testing/entries.ts'
import { startRig, type Rig } from './testing/rig.ts'

describe('a waypoint routes', () => {
  let rig: Rig
  beforeEach(async () => {
    rig = await startRig()
  })
  afterEach(async () => {
    await rig.settled()
    await rig.close()
  })

  const named = (name: string) => rig.backend((request, response) => {
    response.end(`${name} ${request.url ?? ''}`)
  })

  it('to the Service\'s own endpoints if no route is attached', async () => {
    rig.configure([service('books', 'reviews', '10.0.0.1'), endpoints('books', 'reviews', await named('own'))])
    const answer = await rig.ask({ path: '/a?b=1' })
    assert.deepEqual([answer.status, answer.body], [200, 'own /a?b=1'])
    assert.equal(rig.records[0]?.level, 'none')
  })

  it('by rule if routes are attached, and 404 with a reason if none matches, never to the own endpoints', async () => {
    const reviews = service('books', 'reviews', '10.0.0.1')
    rig.configure([
      reviews, endpoints('books', 'reviews', await named('own')),
      service('books', 'v2', '10.0.0.2'), endpoints('books', 'v2', await named('v2')),
      routes('producer', 'books', reviews, http({ matches: prefix('/v2'), backends: [to('books', 'v2')] })),
    ])
    assert.equal((await rig.ask({ path: '/v2/x' })).body, 'v2 /v2/x')
    const missed = await rig.ask({ path: '/v2x' })
    assert.equal(missed.status, 404)
    assert.equal(missed.headers['x-waypoint-reason'], 'no-route')
    assert.deepEqual(rig.records.map((each) => each.reason), [undefined, 'no-route'])
  })

  it('by the original destination, whatever Host says', async () => {
    rig.configure([
      service('books', 'reviews', '10.0.0.1'), endpoints('books', 'reviews', await named('reviews')),
      service('books', 'ratings', '10.0.0.2'), endpoints('books', 'ratings', await named('ratings')),
    ])
    assert.equal((await rig.ask({ to: '10.0.0.2:80', headers: { host: 'reviews.books' } })).body, 'ratings /')
    assert.equal((await rig.ask({ to: 'ratings.books.svc.cluster.local:80' })).body, 'ratings /')
  })

  it('callers of any namespace by the producer routes of its own Services', async () => {
    const reviews = service('books', 'reviews', '10.0.0.1')
    rig.configure([
      reviews, service('books', 'v2', '10.0.0.2'), endpoints('books', 'v2', await named('v2')),
      routes('producer', 'books', reviews, http({ backends: [to('books', 'v2')] })),
    ])
    for (const from of ['books', 'shop']) assert.equal((await rig.ask({ from })).body, 'v2 /')
    assert.equal(rig.records[1]?.source, 'spiffe://mesh.example/ns/shop/sa/app')
  })

  it('its own namespace\'s callers by consumer routes, and refuses those of others', async () => {
    const ratings = service('stars', 'ratings', '10.0.0.9')
    const entries = [ratings, endpoints('stars', 'ratings', await named('ratings')), service('books', 'cache', '10.0.0.3'), endpoints('books', 'cache', await named('cache'))]
    rig.configure([...entries, routes('consumer', 'books', ratings, http({ backends: [to('books', 'cache')] }))])
    assert.equal((await rig.ask({ to: '10.0.0.9:80' })).body, 'cache /')
    assert.equal(rig.records[0]?.level, 'consumer')
    await assert.rejects(rig.ask({ from: 'shop', to: '10.0.0.9:80' }), (error) => error instanceof HboneError && error.status === 421 && error.reason === 'wrong-waypoint')
    rig.configure(entries)
    assert.equal((await rig.ask({ to: '10.0.0.9:80' })).body, 'ratings /')
  })

  it('never by consumer routes of another namespace', async () => {
    const reviews = service('books', 'reviews', '10.0.0.1')
    rig.configure([
      reviews, endpoints('books', 'reviews', await named('own')), service('shop', 'evil', '10.0.0.4'), endpoints('shop', 'evil', await named('evil')),
      routes('consumer', 'shop', reviews, http({ backends: [to('shop', 'evil')] })),
    ])
    for (const from of ['books', 'shop']) assert.equal((await rig.ask({ from })).body, 'own /')
  })

  it('nothing before it has a configuration, nor to what it does not know', async () => {
    await assert.rejects(rig.ask(), (error) => error instanceof HboneError && error.status === 503 && error.reason === 'no-configuration')
    assert.equal(rig.waypoint.ready(), false)
    rig.configure([service('books', 'reviews', '10.0.0.1')])
    assert.equal(rig.waypoint.ready(), true)
    for (const to of ['10.0.0.1:81', '10.0.0.7:80', 'nobody.books.svc.cluster.local:80']) {
      await assert.rejects(rig.ask({ to }), (error) => error instanceof HboneError && error.status === 502 && error.reason === 'unknown-destination')
    }
  })

  it('an invalid backend\'s share to 500, an empty one\'s to 503, and nothing to weight 0', async () => {
    const reviews = service('books', 'reviews', '10.0.0.1')
    const good = await named('good')
    const missing = { kind: 'invalid', reason: 'invalid-backend', detail: 'Service books/missing does not exist' } as const
    rig.configure([
      reviews, service('books', 'good', '10.0.0.2'), endpoints('books', 'good', good), service('books', 'empty', '10.0.0.3'), endpoints('books', 'empty'),
      routes('producer', 'books', reviews, http(
        { matches: prefix('/half'), backends: [to('books', 'good'), { target: missing, weight: 1, filters: [] }] },
        { matches: prefix('/zero'), backends: [to('books', 'good'), { target: missing, weight: 0, filters: [] }] },
        { matches: prefix('/empty'), backends: [to('books', 'empty')] },
        { matches: prefix('/none'), backends: [] },
      )),
    ])
    const half = await Promise.all([1, 2, 3, 4].map(() => rig.ask({ path: '/half' })))
    assert.deepEqual(half.map(({ status }) => status).sort(), [200, 200, 500, 500])
    assert.match(half.find(({ status }) => status === 500)?.body ?? '', /Service books\/missing does not exist/)
    for (let i = 0; i < 3; i++) assert.equal((await rig.ask({ path: '/zero' })).status, 200)
    const empty = await rig.ask({ path: '/empty' })
    assert.deepEqual([empty.status, empty.headers['x-waypoint-reason']], [503, 'no-endpoint'])
    const none = await rig.ask({ path: '/none' })
    assert.deepEqual([none.status, none.headers['x-waypoint-reason']], [500, 'no-backend'])
  })

  it('on the path that it forwards: normalised once, or refused', async () => {
    const reviews = service('books', 'reviews', '10.0.0.1')
    rig.configure([
      reviews, service('books', 'v2', '10.0.0.2'), endpoints('books', 'v2', await named('v2')),
      routes('producer', 'books', reviews, http({ matches: prefix('/public'), backends: [to('books', 'v2')] })),
    ])
    assert.equal((await rig.ask({ path: '/public/../admin' })).status, 404)
    assert.equal((await rig.ask({ path: '/x/..//public/%61' })).body, 'v2 /public/a')
    const refused = await rig.ask({ path: '/public%2f..%2fadmin' })
    assert.deepEqual([refused.status, refused.headers['x-waypoint-reason']], [400, 'malformed-request'])
  })

  it('with the caller\'s verified identity, and never with one that the caller claims', async () => {
    const backend = await rig.backend((request, response) => {
      response.end(JSON.stringify([request.headers['x-forwarded-client-cert'], request.headers['x-waypoint-reason'], request.headers.traceparent]))
    })
    rig.configure([service('books', 'reviews', '10.0.0.1'), endpoints('books', 'reviews', backend)])
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const answer = await rig.ask({ from: 'shop', headers: { 'X-Forwarded-Client-Cert': 'URI=spiffe://mesh.example/ns/bank/sa/admin', 'x-waypoint-reason': 'forged', traceparent } })
    assert.deepEqual(JSON.parse(answer.body), ['By=spiffe://mesh.example/ns/books/sa/waypoint;URI=spiffe://mesh.example/ns/shop/sa/app', null, traceparent])
    assert.equal(rig.records[0]?.traceId, '0af7651916cd43dd8448eb211c80319c')
  })

  it('and lets no backend speak in its name', async () => {
    const backend = await rig.backend((_request, response) => {
      response.setHeader('x-waypoint-reason', 'denied').end('hello')
    })
    rig.configure([service('books', 'reviews', '10.0.0.1'), endpoints('books', 'reviews', backend)])
    assert.equal((await rig.ask()).headers['x-waypoint-reason'], undefined)
  })
})
