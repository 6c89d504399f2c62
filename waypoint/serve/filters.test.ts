import assert from 'node:assert/strict'
import type { Endpoint } from '../../src/model/entries.ts'
import type { Filter, HttpRule } from '../../src/model/route.ts'
import { endpoints, http, routes, service, to } from './testing/entries.ts'
import { startRig, type Rig } from './testing/rig.ts'

describe('a waypoint\'s filters', () => {
  let rig: Rig
  beforeEach(async () => {
    rig = await startRig()
  })
  afterEach(async () => {
    await rig.settled()
    await rig.close()
  })

  const configure = (rule: Partial<HttpRule>, own: Endpoint, mirrored?: Endpoint): void => {
    const reviews = service('books', 'reviews', '10.0.0.1')
    rig.configure([
      reviews, endpoints('books', 'reviews', own),
      service('books', 'copy', '10.0.0.2'), endpoints('books', 'copy', ...(mirrored === undefined ? [] : [mirrored])),
      routes('producer', 'books', reviews, http({ backends: [to('books', 'reviews')], ...rule })),
    ])
  }
  const echo = () => rig.backend((request, response) => {
    let body = ''
    request.on('data', (chunk) => { body += String(chunk) })
    request.on('end', () => {
      response.setHeader('x-rule', request.headers['x-rule'] ?? '').end(`${request.method ?? ''} ${request.url ?? ''} ${request.headers.host ?? ''} ${body}`)
    })
  })
  const edits = { set: [], add: [], remove: [] }
  const mirror: Filter = { kind: 'mirror', target: { kind: 'service', namespace: 'books', name: 'copy', port: 80 }, numerator: 1, denominator: 1 }

  it('change the request and the answer, at the rule and at the backend', async () => {
    configure({
      filters: [{ kind: 'request-headers', ...edits, set: [['x-rule', 'rule']] }, { kind: 'rewrite', hostname: 'inside', path: { type: 'prefix', value: '/new' } }],
      backends: [to('books', 'reviews', { filters: [
        { kind: 'request-headers', ...edits, add: [['x-rule', 'backend']] },
        { kind: 'response-headers', ...edits, set: [['x-answer', 'backend']] },
      ] })],
      matches: [{ path: { type: 'prefix', value: '/old' }, headers: [], query: [] }],
    }, await echo())
    const answer = await rig.ask({ path: '/old/a?q=1' })
    assert.deepEqual([answer.body, answer.headers['x-rule'], answer.headers['x-answer']], ['GET /new/a?q=1 inside ', 'rule,backend', 'backend'])
  })

  it('answer by themselves, and response filters act on that too', async () => {
    configure({
      filters: [{ kind: 'redirect', status: 302, path: { type: 'full', value: '/there' } }, { kind: 'response-headers', ...edits, set: [['x-answer', 'ours']] }],
      backends: [],
    }, await echo())
    const answer = await rig.ask({ path: '/here?q=1', headers: { host: 'shop.example' } })
    assert.deepEqual([answer.status, answer.headers.location, answer.headers['x-answer']], [302, 'http://shop.example/there?q=1', 'ours'])
  })

  it('act on answers for invalid backends too', async () => {
    configure({
      filters: [{ kind: 'response-headers', ...edits, set: [['x-answer', 'ours']] }],
      backends: [{ target: { kind: 'invalid', reason: 'invalid-backend', detail: '' }, weight: 1, filters: [] }],
    }, await echo())
    const answer = await rig.ask()
    assert.deepEqual([answer.status, answer.headers['x-answer']], [500, 'ours'])
  })

  it('that can not be resolved answer 500', async () => {
    configure({ filters: [{ kind: 'unresolved', detail: 'x' }] }, await echo())
    const answer = await rig.ask()
    assert.deepEqual([answer.status, answer.headers['x-waypoint-reason'], rig.records[0]?.reason], [500, 'unresolved-filter', 'unresolved-filter'])
  })

  it('mirror the request with its body and the rule\'s header filters, and throw the answer away', async () => {
    const copies: string[] = []
    const copy = await rig.backend((request, response) => {
      let body = ''
      request.on('data', (chunk) => { body += String(chunk) })
      request.on('end', () => {
        copies.push(`${request.method ?? ''} ${request.url ?? ''} ${body} ${String(request.headers['x-rule'])}`)
        response.writeHead(500).end('never seen')
      })
    })
    configure({ filters: [mirror, { kind: 'request-headers', ...edits, set: [['x-rule', 'yes']] }, mirror] }, await echo(), copy)
    const answer = await rig.ask({ method: 'POST', path: '/a?b=1', body: 'hello' })
    assert.deepEqual([answer.status, answer.body], [200, 'POST /a?b=1 reviews hello'])
    await until(() => copies.length === 2)
    assert.deepEqual(copies, ['POST /a?b=1 hello yes', 'POST /a?b=1 hello yes'])
    assert.equal(rig.counts.get('mirror'), 2)
  })

  it('never let a mirror that hangs, breaks or is missing touch the caller\'s request', async () => {
    const own = await echo()
    let asked = 0
    const hanging = await rig.backend((request) => {
      asked++
      request.pause()
    })
    configure({ filters: [mirror] }, own, hanging)
    const big = Buffer.alloc(8 * 1024 * 1024, 'x')
    const answer = await rig.ask({ method: 'POST', body: big })
    assert.equal(answer.body.length, 'POST / reviews '.length + big.length)
    await until(() => asked === 1 && rig.counts.get('mirror-failed') === 1)

    configure({ filters: [mirror] }, own, await rig.backend((request) => { request.socket.resetAndDestroy() }))
    assert.equal((await rig.ask({ method: 'POST', body: 'x' })).body, 'POST / reviews x')
    configure({ filters: [mirror] }, own)
    assert.equal((await rig.ask()).status, 200)
    assert.equal(rig.counts.get('mirror-dropped'), 1)
  })

  it('keep a session on its endpoint, also over other endpoints that come', async () => {
    const named = (name: string) => rig.backend((_request, response) => response.end(name))
    const [a, b, c] = [await named('a'), await named('b'), await named('c')]
    const reviews = service('books', 'reviews', '10.0.0.1')
    const config = (...all: Endpoint[]) => rig.configure([
      reviews, endpoints('books', 'reviews', ...all),
      routes('producer', 'books', reviews, http({ backends: [to('books', 'reviews')], persistence: { type: 'cookie', name: 'sid', lifetime: 'session' } })),
    ])
    config(a, b)
    const first = await rig.ask()
    const cookie = String(first.headers['set-cookie']).split(';')[0] ?? ''
    assert.match(cookie, /^sid=/)
    config(a, b, c)
    for (let i = 0; i < 10; i++) assert.equal((await rig.ask({ headers: { cookie } })).body, first.body)
    config(...[a, b, c].filter((_each, at) => ['a', 'b', 'c'][at] !== first.body))
    assert.notEqual((await rig.ask({ headers: { cookie } })).body, first.body)
  })
})

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 2))
  assert.ok(condition(), 'it did not happen')
}
