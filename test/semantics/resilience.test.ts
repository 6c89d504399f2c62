import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { until } from '../../src/control/testing/world.ts'
import { backend, closedPort, type Backend, type Behaviour } from './testing/backend.ts'
import type { Reply } from './testing/client.ts'
import { l7Namespace, prefix, route, service, to, type Manifest } from './testing/manifests.ts'
import { startMesh, type Mesh } from './testing/mesh.ts'

describe('timeouts and retries (semantics 3)', () => {
  const all: Backend[] = []
  let mesh: Mesh
  /** Answers that wait to be given. */
  const waiting: ServerResponse[] = []
  let seen: (name: string) => number
  const make = async (name: string, behave?: Behaviour): Promise<Backend> => {
    const made = await backend(name, behave)
    all.push(made)
    return made
  }

  before(async () => {
    const good = await make('good')
    const silent = await make('silent', (_request, response) => waiting.push(response))
    const streaming = await make('streaming', (_request, response) => {
      response.write('the beginning')
      waiting.push(response)
    })
    let turns = 0
    const flaky = await make('flaky', (_request, response, one) => {
      turns++
      if (turns % 3 === 0) response.end(JSON.stringify(one))
      else response.writeHead(503, { 'x-turn': String(turns) }).end('not yet')
    })
    const bad = await make('bad', (_request, response) => response.writeHead(503).end('bad'))
    const worse = await make('worse', (_request, response) => response.writeHead(500).end('worse'))
    const breaking = await make('breaking', (request) => request.socket.destroy())
    const nobody = await closedPort()
    seen = (name) => all.find((each) => each.name === name)?.seen.length ?? 0
    const rule = (path: string, service: string, more: Manifest): Manifest => prefix(path, { backendRefs: [to(`books/${service}`)], ...more })
    const retry = (attempts: number, codes: readonly number[] = []): Manifest => ({ retry: { attempts, codes, backoff: '1ms' } })
    mesh = await startMesh(
      ['books'], ...l7Namespace('books'), ...service('books/front', []),
      ...service('books/silent', [silent]), ...service('books/streaming', [streaming]), ...service('books/flaky', [flaky]), ...service('books/bad', [bad]),
      ...service('books/breaking', [breaking]), ...service('books/half', [good, nobody]), ...service('books/mixed', [bad, good]), ...service('books/half-broken', [breaking, good]), ...service('books/nobody', [nobody]), ...service('books/worse', [worse]),
      route('HTTPRoute', 'books/timeouts', 'books/front', [
        rule('/request', 'silent', { timeouts: { request: '80ms' } }),
        rule('/backend', 'silent', { timeouts: { request: '10s', backendRequest: '80ms' } }),
        rule('/off', 'good-after-all', { timeouts: { request: '0s' } }),
        rule('/stream/request', 'streaming', { timeouts: { request: '150ms' } }),
        rule('/stream/backend', 'streaming', { timeouts: { backendRequest: '150ms' } }),
        rule('/each', 'silent', { timeouts: { request: '10s', backendRequest: '40ms' }, ...retry(2) }),
        rule('/cap', 'silent', { timeouts: { request: '150ms', backendRequest: '100ms' }, ...retry(50) }),
      ]),
      ...service('books/good-after-all', [good]),
      route('HTTPRoute', 'books/retries', 'books/front', [
        rule('/codes', 'flaky', retry(2, [503])),
        rule('/exhausted', 'bad', retry(2, [503])),
        rule('/other-code', 'bad', retry(2, [502])),
        rule('/unlisted', 'worse', retry(2, [503])),
        rule('/other-endpoint', 'mixed', retry(1, [503])),
        rule('/no-stanza-bad', 'bad', {}),
        rule('/connect/free', 'half', {}),
        rule('/connect/stanza', 'half', retry(1)),
        rule('/connect/nobody', 'nobody', retry(2)),
        rule('/broken/stanza', 'half-broken', retry(3)),
        rule('/broken/only', 'breaking', retry(2)),
        rule('/broken/none', 'breaking', {}),
      ]),
    )
  })
  after(async () => {
    await mesh.close()
    for (const each of all) each.close()
  })
  afterEach(() => {
    for (const each of all) each.seen.length = 0
    for (const each of waiting.splice(0)) each.destroy()
  })
  const ask = (path: string, what: { method?: string; body?: string } = {}): Promise<Reply> => mesh.call('books', 'front.books:80', { path, ...what })
  const brief = async (path: string, what: { method?: string; body?: string } = {}): Promise<unknown[]> => {
    const { status, reason } = await ask(path, what)
    return [status, reason]
  }

  it('the request timeout and the backend request timeout answer 504, each with its reason', async () => {
    assert.deepEqual(await brief('/request'), [504, 'request-timeout'])
    assert.deepEqual(await brief('/backend'), [504, 'backend-timeout'])
  })

  it('a timeout ends the request at the backend as well', async () => {
    await ask('/request')
    await until('the backend was told', () => waiting.length === 1 && waiting[0]?.destroyed === true)
  })

  it('a timeout of 0s is off', async () => {
    assert.equal((await ask('/off')).seen.backend, 'good')
  })

  it('a stream that outlives a timeout after its head is cut, never ended as if it were whole', async () => {
    for (const path of ['/stream/request', '/stream/backend']) await assert.rejects(ask(path), /aborted|hang up|ECONNRESET/, path)
  })

  it('backendRequest bounds each try, and the request timeout bounds them all', async () => {
    assert.deepEqual(await brief('/each'), [504, 'retries-exhausted'])
    assert.equal(seen('silent'), 3)
    assert.deepEqual(await brief('/cap'), [504, 'request-timeout'])
  })

  it('a body that is slow to come is inside the request timeout', async () => {
    const socket = await mesh.tunnel('books', 'front.books:80')
    socket.write('POST /request HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf')
    const [answer] = (await once(socket, 'data')) as [Buffer]
    assert.match(answer.toString(), /^HTTP\/1\.1 504 [^]*x-waypoint-reason: request-timeout/)
    socket.destroy()
  })

  it('a listed code is retried, attempts is the number of retries, and the body comes again', async () => {
    const reply = await ask('/codes', { method: 'POST', body: 'again' })
    assert.deepEqual([reply.status, reply.seen.body], [200, 'again'])
    assert.equal(seen('flaky'), 3)
  })

  it('after the last retry the caller gets the last status', async () => {
    const reply = await ask('/exhausted')
    assert.deepEqual([reply.status, reply.body, reply.reason], [503, 'bad', 'retries-exhausted'])
    assert.equal(seen('bad'), 3)
  })

  it('codes that are not listed are not retried, nor is anything without a stanza', async () => {
    assert.deepEqual(await brief('/other-code'), [503, undefined])
    assert.deepEqual(await brief('/no-stanza-bad'), [503, undefined])
    assert.deepEqual(await brief('/unlisted'), [500, undefined])
    assert.deepEqual([seen('bad'), seen('worse')], [2, 1])
  })

  it('every try picks another endpoint if there is one', async () => {
    for (let time = 0; time < 20; time++) assert.equal((await ask('/other-endpoint')).seen.backend, 'good')
  })

  it('a connection that can not be made is tried once on another endpoint without a stanza, for every method', async () => {
    for (const path of ['/connect/free', '/connect/stanza']) {
      for (let time = 0; time < 10; time++) assert.equal((await ask(path, { method: 'POST', body: 'x' })).seen.body, 'x', path)
    }
    assert.deepEqual(await brief('/connect/nobody'), [503, 'retries-exhausted'])
  })

  it('what may have been processed is retried only if its method is idempotent', async () => {
    for (const method of ['GET', 'PUT', 'DELETE']) assert.equal((await ask('/broken/stanza', { method })).seen.backend, 'good', method)
    all.forEach((each) => { each.seen.length = 0 })
    for (const method of ['POST', 'PATCH']) assert.deepEqual(await brief('/broken/only', { method, body: 'x' }), [502, 'upstream-reset'])
    assert.equal(seen('breaking'), 2)
    assert.deepEqual(await brief('/broken/only'), [502, 'retries-exhausted'])
    assert.equal(seen('breaking'), 5)
  })

  it('without a stanza an answer that breaks off is 502, and nobody is asked again', async () => {
    assert.deepEqual(await brief('/broken/none'), [502, 'upstream-reset'])
    assert.equal(seen('breaking'), 1)
  })

  it('a body beyond the replay buffer is not sent again', async () => {
    const reply = await ask('/codes', { method: 'PUT', body: 'x'.repeat(2_000_000) })
    assert.deepEqual([reply.status, seen('flaky')], [503, 1])
  })

  it('a client that goes away ends the request at the backend', async () => {
    const { host, port } = mesh.entry('books')
    const socket = connect({ host, port })
    socket.on('error', () => {})
    socket.write('GET http://front.books/backend HTTP/1.1\r\nhost: x\r\n\r\n')
    await until('the backend has it', () => waiting.length === 1)
    socket.destroy()
    await until('the backend was told', () => waiting[0]?.destroyed === true)
  })
})
