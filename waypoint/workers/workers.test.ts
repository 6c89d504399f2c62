import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import type { Worker } from 'node:worker_threads'
import { systemClock } from '../../src/kit/clock.ts'
import { fakeClock } from '../../src/kit/testing/fake-clock.ts'
import type { Endpoint, Entry } from '../../src/model/entries.ts'
import { sumCounts, type Counts } from '../../src/telemetry/counters.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { createHboneClient, type HboneClient } from '../../src/transport/hbone-client.ts'
import { testMesh, type TestSource } from '../../src/transport/testing/mesh.ts'
import { makeRoot } from '../../ca/root.ts'
import { snapshotOf } from '../config/compile.ts'
import { endpoints, http, routes, service, to } from '../serve/testing/entries.ts'
import { askOver, endpoint, type Answer } from '../serve/testing/rig.ts'
import { startWorkers, type Workers, type WorkersOptions } from './workers.ts'

/** Connections enough that every one of two threads gets some, but for one time in a million. */
const many = 21

describe('a waypoint in several threads', function () {
  this.timeout(60_000)
  const mesh = testMesh()
  const closers: (() => unknown)[] = []
  const threads: Worker[] = []
  const onWorker = (worker: Worker): void => void threads.push(worker)
  const lines: string[] = []
  let credentials: TestSource

  beforeEach(() => {
    credentials = mesh.source('waypoint')
    process.on('worker', onWorker)
  })
  afterEach(async () => {
    process.off('worker', onWorker)
    for (const close of closers.splice(0).reverse()) await close()
    threads.length = 0
    lines.length = 0
  })

  const backend = async (handler: RequestListener): Promise<Endpoint> => {
    const server = createServer({ keepAliveTimeout: 60_000 }, handler)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    closers.push(() => {
      server.close()
      server.closeAllConnections()
    })
    return endpoint((server.address() as AddressInfo).port)
  }
  const reviews = service('shop', 'reviews', '10.0.0.1')
  const start = async (entries: readonly Entry[], changes: Partial<WorkersOptions> = {}): Promise<Workers> => {
    const workers = await startWorkers({
      count: 2, namespace: 'shop', name: 'waypoint', credentials, trustDomain: 'mesh.example', host: '127.0.0.1', port: 0, accessLog: 'none', tracing: undefined,
      snapshot: snapshotOf(entries), clock: systemClock, log: createLog('info', (line) => lines.push(line)), random: () => 0, limits: { drainIdleMs: 50 }, ...changes,
    })
    closers.push(workers.close)
    return workers
  }
  const client = (): HboneClient => {
    const made = createHboneClient({ credentials: mesh.source('till'), clock: systemClock })
    closers.push(made.close)
    return made
  }
  const answer = async (by: HboneClient, { address }: Workers, headers: Readonly<Record<string, string>> = {}): Promise<Answer> => {
    const tunnel = await by.connect({ host: '127.0.0.1', port: address.port, authority: '10.0.0.1:80', peer: { kind: 'identity', id: mesh.id('waypoint') } })
    return askOver(tunnel, { headers })
  }
  const ask = async (by: HboneClient, workers: Workers): Promise<string> => {
    const { status, body } = await answer(by, workers)
    return `${status} ${body}`
  }
  const connects = (port: number): Promise<boolean> => new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
  const requests = (counts: Counts): number => [...counts.series.values()].reduce((sum, { slots }) => sum + (slots[0] ?? 0), 0)
  const until = async (what: string, holds: () => boolean): Promise<void> => {
    for (let turn = 0; turn < 4_000; turn++) {
      if (holds()) return
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    throw new Error(`it did not come to pass within 20 s: ${what}\n${lines.join('\n')}`)
  }

  it('spreads connections over them, and counts as if it were one', async () => {
    const workers = await start([reviews, endpoints('shop', 'reviews', await backend((_request, response) => response.end('a')))])
    const answers = await Promise.all(Array.from({ length: many }, () => ask(client(), workers)))
    assert.deepEqual([...new Set(answers)], ['200 a'])
    const each = (await workers.counts()).map(requests)
    assert.equal(each.length, 2)
    assert.ok(each.every((count) => count > 0), `one thread got nothing: ${each.join(' and ')}`)
    const metrics = createMetrics(() => Date.now(), { others: workers.counts })
    const shown = (await metrics.render()).split('\n').filter((line) => line.startsWith('waymark_requests_total{waypoint="shop/waypoint"') && line.includes('code="200"'))
    assert.deepEqual(shown.map((line) => line.split(' ').at(-1)), [String(many)])
  })

  it('shows what all of them do to whoever looks on, also one that took the place of another', async () => {
    const workers = await start([reviews, endpoints('shop', 'reviews', await backend((_request, response) => response.end('a')))])
    const seen: string[] = []
    const stop = workers.tap.subscribe({ filter: { service: 'shop/reviews' }, rate: 1_000 }, { write: (more) => void seen.push(...more), ready: () => true })
    await Promise.all(Array.from({ length: many }, () => ask(client(), workers)))
    await until('each request is shown', () => seen.length === many)
    assert.equal((JSON.parse(seen[0] ?? '{}') as { verdict: string }).verdict, 'allowed')
    await threads[0]?.terminate()
    await until('another has its place', () => lines.some((line) => line.includes('serves again')))
    await Promise.all(Array.from({ length: many }, () => ask(client(), workers)))
    await until('each request is shown again', () => seen.length === 2 * many)
    stop()
    await Promise.all(Array.from({ length: many }, () => ask(client(), workers)))
    assert.equal(seen.length, 2 * many)
  })

  it('has a change in force in all of them once it says so', async () => {
    const [a, b] = [await backend((_request, response) => response.end('a')), await backend((_request, response) => response.end('b'))]
    const config = (target: string): Entry[] => [
      reviews, service('shop', 'a', '10.0.0.2'), endpoints('shop', 'a', a), service('shop', 'b', '10.0.0.3'), endpoints('shop', 'b', b),
      routes('producer', 'shop', reviews, http({ backends: [to('shop', target)] })),
    ]
    const workers = await start(config('a'))
    // One session each, to the same thread for as long as it lasts.
    const clients = Array.from({ length: many }, client)
    for (const target of ['b', 'a', 'b', 'a', 'b']) {
      await workers.configure(snapshotOf(config(target)))
      assert.deepEqual([...new Set(await Promise.all(clients.map((each) => ask(each, workers))))], [`200 ${target}`])
    }
    // Nothing changes: it is in force already.
    await workers.configure(snapshotOf(config('b')))
  })

  it('says so if a thread can not run a change, which then goes on as before and takes the next one', async () => {
    const workers = await start([reviews, endpoints('shop', 'reviews', await backend((_request, response) => response.end('a')))])
    const bad = http({ matches: [{ path: { kind: 'regex', value: '(' } } as never] })
    await assert.rejects(workers.configure(snapshotOf([reviews, routes('producer', 'shop', reviews, bad)])))
    assert.equal(await ask(client(), workers), '200 a')
    await workers.configure(snapshotOf([reviews, endpoints('shop', 'reviews', await backend((_request, response) => response.end('b')))]))
    assert.deepEqual([...new Set(await Promise.all(Array.from({ length: many }, () => ask(client(), workers))))], ['200 b'])
  })

  it('replaces a thread that ended: no later request fails, what comes meanwhile is in force there, and no count goes back', async () => {
    const [a, b] = [await backend((_request, response) => response.end('a')), await backend((_request, response) => response.end('b'))]
    const config = (...all: Endpoint[]): Entry[] => [reviews, endpoints('shop', 'reviews', ...all)]
    const listening: number[] = []
    const workers = await start(config(a), { onListening: (now) => listening.push(now) })
    await Promise.all(Array.from({ length: many }, () => ask(client(), workers)))
    assert.equal(requests(sumCounts('', await workers.counts())), many)
    await threads[0]?.terminate()
    const configured = workers.configure(snapshotOf(config(b)))
    for (let at = 0; at < many; at++) assert.match(await ask(client(), workers), /^200 /)
    await configured
    assert.deepEqual([...new Set(await Promise.all(Array.from({ length: many }, () => ask(client(), workers))))], ['200 b'])
    await until('it serves again', () => lines.length === 2)
    assert.deepEqual([lines, listening, workers.crashes()], [
      ['worker 1 ended (it was ended); its connections are cut, and another takes its place', 'worker 1 serves again'], [1, 2], 1,
    ])
    await Promise.all(Array.from({ length: many }, () => ask(client(), workers)))
    const [gone, ...each] = (await workers.counts()).map(requests)
    assert.ok((gone ?? 0) > 0)
    assert.ok(each.length === 2 && each.every((count) => count > 0), `one thread got nothing: ${each.join(' and ')}`)
    assert.equal((gone ?? 0) + each.reduce((sum, count) => sum + count, 0), many * 4)
  })

  it('says that a change is in force only when something runs it', async () => {
    const events: (number | string)[] = []
    const workers = await start([reviews], { count: 1, onListening: (now) => events.push(now) })
    await threads[0]?.terminate()
    await workers.configure(snapshotOf([reviews, endpoints('shop', 'reviews', await backend((_request, response) => response.end('a')))]))
    events.push(await ask(client(), workers))
    assert.deepEqual(events, [0, 1, '200 a'])
  })

  it('gives up when threads end again and again, and tells what the last one died of', async () => {
    const workers = await start([reviews])
    process.on('worker', (worker) => {
      // As a defect would that shows at the start.
      worker.once('online', () => void worker.terminate())
    })
    try {
      await threads[0]?.terminate()
      assert.match((await workers.failed).message, /^worker 1 ended \(it was ended\), and workers end too often: 7 times within 5 minutes$/)
      assert.equal(lines.filter((line) => line.includes('another takes its place')).length, 6)
      // The other one serves on.
      assert.match(await ask(client(), workers), /^503 /)
    } finally {
      for (const listener of process.listeners('worker')) if (listener !== onWorker) process.off('worker', listener)
    }
  })

  it('lets what is in flight finish when it is drained, in every thread', async () => {
    const held: (() => void)[] = []
    const workers = await start([reviews, endpoints('shop', 'reviews', await backend((_request, response) => held.push(() => response.end('late'))))])
    const answers = Array.from({ length: many }, () => ask(client(), workers))
    await until('all are in flight', () => held.length === many)
    const drained = workers.drain(10_000)
    // One connection after the other, until no thread listens any more.
    while (await connects(workers.address.port));
    for (const finish of held) finish()
    assert.deepEqual([...new Set(await Promise.all(answers))], ['200 late'])
    await drained
    assert.equal(requests(sumCounts('', await workers.counts())), many)
  })

  it('speaks with renewed certificates and trusts new roots in every thread', async () => {
    const workers = await start([reviews, endpoints('shop', 'reviews', await backend((_request, response) => response.end('a')))])
    const next = makeRoot('mesh.example', { nowMs: Date.now() })
    const bundle = [mesh.root.rootPem, next.rootPem]
    credentials.set(mesh.issue('waypoint', { root: next, bundle }))
    // The answer comes after what was said before.
    await workers.counts()
    const peer = { kind: 'identity', id: mesh.id('waypoint') } as const
    for (let at = 0; at < many; at++) {
      const source = mesh.source('till')
      source.set(mesh.issue('till', { root: next, bundle: [next.rootPem] }))
      const by = createHboneClient({ credentials: source, clock: systemClock })
      closers.push(by.close)
      const tunnel = await by.connect({ host: '127.0.0.1', port: workers.address.port, authority: '10.0.0.1:80', peer })
      assert.equal((await askOver(tunnel, {})).status, 200)
    }
    assert.ok((await workers.counts()).map(requests).every((count) => count > 0))
  })

  it('ends a thread that says nothing for a minute, and replaces it', async () => {
    const clock = fakeClock(Date.now())
    const workers = await start([reviews], { count: 1, clock })
    // The clock goes on and no thread has a chance to say anything.
    clock.advance(70_000)
    await until('it is noticed', () => workers.crashes() === 1)
    clock.advance(0)
    await until('another serves', () => lines.at(-1) === 'worker 1 serves again')
    assert.deepEqual(lines.slice(0, 2), ['worker 1 has not answered for 60 s and is ended', 'worker 1 ended (it was ended); its connections are cut, and another takes its place'])
    assert.match(await ask(client(), workers), /^503 /)
  })

  it('keeps a session at its endpoint whichever thread it meets, also where the CA shares no secret', async () => {
    const all = [await backend((_request, response) => response.end('a')), await backend((_request, response) => response.end('b'))]
    const workers = await start([
      reviews, endpoints('shop', 'reviews', ...all),
      routes('producer', 'shop', reviews, http({ backends: [to('shop', 'reviews')], persistence: { type: 'cookie', name: 'sid', lifetime: 'session' } })),
    ])
    const first = await answer(client(), workers)
    const cookie = String(first.headers['set-cookie']).split(';')[0] ?? ''
    const later = await Promise.all(Array.from({ length: many }, async () => (await answer(client(), workers, { cookie })).body))
    assert.deepEqual([...new Set(later)], [first.body])
  })

  it('sends the spans of every thread, the last ones when it is drained', async () => {
    const names: string[] = []
    const collector = await backend((request, response) => {
      void request.toArray().then((chunks) => {
        type Sent = { readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly { readonly kind: number; readonly name: string }[] }[] }[] }
        const { resourceSpans } = JSON.parse(Buffer.concat(chunks as Buffer[]).toString()) as Sent
        for (const { kind, name } of resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))) if (kind === 2) names.push(name)
        response.setHeader('content-type', 'application/json').end('{}')
      })
    })
    const workers = await start([reviews, endpoints('shop', 'reviews', await backend((_request, response) => response.end('a')))], {
      tracing: { endpoint: `http://127.0.0.1:${collector.port}`, serviceName: 'test' },
    })
    await Promise.all(Array.from({ length: many }, () => ask(client(), workers)))
    await workers.drain()
    assert.equal(names.length, many)
  })

  it('does not share its port with another process that would let it', async () => {
    const { address } = await start([reviews])
    await assert.rejects(start([reviews], { port: address.port }), { code: 'EADDRINUSE', syscall: 'listen' })
  })
})
