import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { until } from '../../src/control/testing/world.ts'
import { callUnary, echoClient, echoService, startEcho } from '../../waypoint/http2/testing/grpc-services.ts'
import { backend, type Backend } from './testing/backend.ts'
import type { Reply } from './testing/client.ts'
import { relay } from './testing/relay.ts'
import { l7Namespace, prefix, route, service, slice, to, type Manifest } from './testing/manifests.ts'
import { startMesh, type Mesh } from './testing/mesh.ts'

describe('changes under traffic (semantics 3: requests in flight finish)', () => {
  let v1: Backend
  let v2: Backend
  let mesh: Mesh
  let held: ServerResponse[] = []
  const base = (): Manifest[] => [...l7Namespace('books'), ...service('books/v1', [v1]), ...service('books/v2', [v2]), ...service('books/front', [v1])]
  const shares = (weights: Readonly<Record<string, number>>, more: readonly Manifest[] = []): Manifest =>
    route('HTTPRoute', 'books/front', 'books/front', [...more, { backendRefs: Object.entries(weights).map(([name, weight]) => to(`books/${name}`, { weight })) }])

  beforeEach(async () => {
    held = []
    const make = (name: string): Promise<Backend> => backend(name, (request, response, seen) => {
      if (request.url !== '/held') {
        response.end(JSON.stringify(seen))
        return
      }
      response.write(`${name}: beginning`)
      held.push(response)
    })
    v1 = await make('v1')
    v2 = await make('v2')
  })
  afterEach(async () => {
    await mesh.close()
    for (const each of [v1, v2]) each.close()
  })

  /** Begins answers that stay open until they are released. */
  const begin = async (count: number): Promise<{ readonly release: () => Promise<readonly Reply[]> }> => {
    const replies = Array.from({ length: count }, () => mesh.call('books', 'front.books:80', { path: '/held' }))
    await until('every answer has begun', () => held.length === count)
    return {
      release: () => {
        for (const each of held) each.end(', end')
        return Promise.all(replies)
      },
    }
  }
  const bodies = (replies: readonly Reply[]): string[] => [...new Set(replies.map(({ status, body }) => `${status} ${body}`))].sort()

  /** Makes one change after the other while requests run, some in kept connections and some in new ones. */
  const underLoad = async (steps: readonly (readonly Manifest[])[]): Promise<{ readonly outcomes: readonly string[]; readonly count: number }> => {
    const client = mesh.keepAlive('books', 'front.books:80', 16)
    let done = false
    const stopped = (): boolean => done
    const outcomes = new Set<string>()
    let count = 0
    const load = Array.from({ length: 16 }, async (_each, at) => {
      while (!stopped()) {
        const outcome = await (at % 2 === 0 ? client.call({ path: '/x', method: 'POST', body: 'b' }) : mesh.call('books', 'front.books:80', { path: '/x' }))
          .then(({ status, reason }) => `${status} ${reason ?? ''}`, (error: unknown) => String(error))
        outcomes.add(outcome)
        count++
      }
    })
    for (const step of steps) {
      const before = count
      await mesh.replace(...step)
      await until('traffic met the change', () => count >= before + 60)
    }
    done = true
    await Promise.all(load)
    return { outcomes: [...outcomes].sort(), count }
  }

  it('a request in flight finishes whatever becomes of its weights, its backend, its route, its Service and its Gateway', async () => {
    mesh = await startMesh(['books'], ...base(), shares({ v1: 1 }))
    const long = await begin(10)
    await mesh.replace(...base(), shares({ v1: 0, v2: 1 }))
    assert.equal((await mesh.call('books', 'front.books:80')).seen.backend, 'v2')
    await mesh.replace(...l7Namespace('books'), ...service('books/v2', [v2]), ...service('books/front', []), shares({ v1: 1, v2: 1 }))
    const two = await Promise.all([1, 2].map(() => mesh.call('books', 'front.books:80')))
    assert.deepEqual(two.map(({ status }) => status).sort(), [200, 500])
    await mesh.replace(...base())
    assert.equal((await mesh.call('books', 'front.books:80')).seen.backend, 'v1')
    await mesh.replace(...l7Namespace('books'))
    await assert.rejects(mesh.call('books', 'front.books:80'))
    await mesh.replace(...base().slice(2), ...service('other/x', []))
    assert.equal((await mesh.call('books', 'front.books:80')).seen.backend, 'v1')
    assert.deepEqual(bodies(await long.release()), ['200 v1: beginning, end'])
  })

  it('an endpoint that begins to terminate gets nothing new while what it holds finishes', async () => {
    const both = (conditions: Readonly<Record<string, boolean>>): Manifest[] =>
      [...l7Namespace('books'), ...service('books/front', []), slice('books/front', 'one', { at: v1, conditions }), slice('books/front', 'two', v2)]
    mesh = await startMesh(['books'], ...both({ ready: true }))
    const long = await begin(10)
    await mesh.replace(...both({ ready: false, serving: true, terminating: true }))
    const next = await Promise.all(Array.from({ length: 20 }, () => mesh.call('books', 'front.books:80')))
    assert.deepEqual([...new Set(next.map(({ seen }) => seen.backend))], ['v2'])
    const replies = await long.release()
    assert.deepEqual([...new Set(replies.map(({ status, body }) => `${status} ${body.slice(2)}`))], ['200 : beginning, end'])
  })

  it('no request of hundreds in parallel fails while weights, rules and backends change', async () => {
    mesh = await startMesh(['books'], ...base(), shares({ v1: 1, v2: 1 }))
    const steps = [
      [...base(), shares({ v1: 9, v2: 1 })], [...base(), shares({ v2: 1 })], [...base().slice(0, 2), ...service('books/v2', [v2]), ...service('books/front', [v2]), shares({ v2: 1 })],
      [...base(), shares({ v1: 1 }, [prefix('/new', { backendRefs: [to('books/v2')] })])], base(), [...base(), shares({ v1: 1, v2: 1 })],
    ]
    const { outcomes, count } = await underLoad(steps)
    assert.deepEqual(outcomes, ['200 '])
    assert.ok(count >= 300)
  })

  it('nor while the waypoint itself comes and goes', async () => {
    mesh = await startMesh(['books'], ...base())
    const [inNamespace = {}, , ...rest] = base()
    const { outcomes } = await underLoad([[inNamespace, ...rest], base(), [inNamespace, ...rest], base()])
    assert.deepEqual(outcomes, ['200 '])
  })

  it('a gRPC stream goes on over a change that takes its route away, and new calls in its connection follow the change', async () => {
    const { port, server } = await startEcho({
      Unary: (call, answer) => answer(null, call.request),
      Chat: (call) => {
        call.on('data', (chunk: Buffer) => void call.write(chunk))
        call.on('end', () => call.end())
      },
    })
    const grpc = (rules?: readonly Manifest[]): Manifest[] => [
      ...l7Namespace('books'), ...service('books/calls', [{ host: '127.0.0.1', port }], { ports: [{ name: 'grpc', port: 80 }] }),
      ...(rules === undefined ? [] : [route('GRPCRoute', 'books/calls', 'books/calls', rules)]),
    ]
    mesh = await startMesh(['books'], ...grpc([{ backendRefs: [to('books/calls')] }]))
    const near = await relay(mesh.entry('books'), 'calls.books:80')
    const client = echoClient(near.port)
    const asIs = (value: Buffer): Buffer => value
    const chat = client.makeBidiStreamRequest(echoService.Chat.path, asIs, asIs)
    const say = async (word: string): Promise<string> => {
      const answer = new Promise<Buffer>((resolve) => chat.once('data', resolve))
      chat.write(Buffer.from(word))
      return (await answer).toString()
    }
    assert.equal(await say('one'), 'one')
    await mesh.replace(...grpc([{ matches: [{ method: { service: 'other.Service' } }], backendRefs: [to('books/calls')] }]))
    assert.equal((await callUnary(client, Buffer.from('x'))).code, 12)
    assert.equal(await say('two'), 'two')
    await mesh.replace(...grpc())
    assert.equal((await callUnary(client, Buffer.from('x'))).code, 0)
    assert.equal(await say('three'), 'three')
    assert.equal(near.taken(), 1)
    chat.on('error', () => {})
    chat.cancel()
    client.close()
    near.close()
    server.forceShutdown()
  })
})
