import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { systemClock } from '../../kit/clock.ts'
import { entryKey, type Entry, type WorkloadEntry } from '../../model/entries.ts'
import type { PolicyEntry } from '../../model/policy.ts'
import { sumConnections } from '../../telemetry/connection-counters.ts'
import { createHboneClient } from '../../transport/hbone-client.ts'
import { testMesh, type TestSource } from '../../transport/testing/mesh.ts'
import { makeRoot } from '../../../ca/root.ts'
import { loopbackPod } from '../testing/sockets.ts'
import type { LoopbackPlace } from '../testing/thread-networks.ts'
import { exchange, failureOf, readAll } from '../testing/world.ts'
import type { PodTraffic } from '../traffic/plane.ts'
import { startThreads, type ThreadedPlane, type ThreadsOptions } from './relay.ts'

/** Connections enough that every one of two threads gets some, but for one time in a million. */
const many = 21

describe('captured pods in several threads', function () {
  this.timeout(60_000)
  const mesh = testMesh('cluster.local')
  const closers: (() => unknown)[] = []
  const threads: Worker[] = []
  const onWorker = (worker: Worker): void => void threads.push(worker)
  const lines: string[] = []

  beforeEach(() => void process.on('worker', onWorker))
  afterEach(async () => {
    process.off('worker', onWorker)
    for (const close of closers.splice(0).reverse()) await close()
    threads.length = 0
    lines.length = 0
  })

  const start = async (changes: Partial<ThreadsOptions> = {}): Promise<ThreadedPlane> => {
    const say = (line: string): void => void lines.push(line)
    const plane = await startThreads({
      count: 2, node: 'n1', unknown: 'pass', accessLog: 'none', networks: new URL('../testing/thread-networks.ts', import.meta.url), maxConnections: 1_000,
      clock: systemClock, log: { info: say, error: say }, random: () => 0, ...changes,
    })
    closers.push(plane.close)
    return plane
  }
  const echo = async (address: string): Promise<number> => {
    const sockets = new Set<Socket>()
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket)
      socket.on('error', () => {}).once('close', () => sockets.delete(socket))
      socket.pipe(socket)
    })
    await new Promise<void>((resolve) => server.listen(0, address, resolve))
    closers.push(() => {
      server.close()
      for (const socket of sockets) socket.destroy()
    })
    return (server.address() as AddressInfo).port
  }

  interface Pod {
    readonly address: string
    readonly traffic: PodTraffic
    readonly source: TestSource
    readonly workload: WorkloadEntry
    readonly application: number
    /** As its application would, to be captured. */
    readonly send: () => Socket
    /** As somebody outside of the mesh would, to be captured. */
    readonly reach: () => Socket
  }
  const open = async (plane: ThreadedPlane, name: string, more: Partial<LoopbackPlace> = {}): Promise<Pod> => {
    const { address, network } = loopbackPod(false)
    const application = await echo(address)
    const place: LoopbackPlace = { address, application, going: { host: '127.0.0.1', port: await echo('127.0.0.1') }, ...more }
    const traffic = plane.open(`uid-${name}`, { ...network, place: { path: JSON.stringify(place), mark: 1 } })
    closers.push(traffic.close)
    const to = (port: number) => (): Socket => connect({ host: address, port, allowHalfOpen: true }).on('error', () => {})
    return {
      address, application, traffic, source: mesh.source(name), send: to(15001), reach: to(15006),
      workload: { kind: 'workload', namespace: 'shop', name, addresses: [address], serviceAccount: name, identity: mesh.id(name), enrolled: true, node: 'n1', uid: `uid-${name}` },
    }
  }
  const begin = async (pod: Pod): Promise<void> => {
    await pod.traffic.certify(pod.source)
    await pod.traffic.start()
  }
  const configure = (plane: ThreadedPlane, ...entries: readonly Entry[]): unknown => plane.configure(new Map(entries.map((entry) => [entryKey(entry), entry])))
  const captured = async (plane: ThreadedPlane, name: string, more: Partial<LoopbackPlace> = {}): Promise<Pod> => {
    const pod = await open(plane, name, more)
    await configure(plane, pod.workload)
    await begin(pod)
    return pod
  }
  const all = <T>(make: () => Promise<T>): Promise<readonly T[]> => Promise.all(Array.from({ length: many }, make))
  const ask = (pod: Pod, by: 'send' | 'reach' = 'send'): Promise<string> => exchange(pod[by](), 'x').catch((error: unknown) => (error as NodeJS.ErrnoException).code ?? '')
  const hold = async (pod: Pod): Promise<Socket> => {
    const socket = pod.send()
    socket.write('a')
    await new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject))
    return socket
  }
  /** Connections that ended, by thread. */
  const connections = async (plane: ThreadedPlane): Promise<readonly number[]> => {
    await plane.refresh()
    return plane.counts().map(({ series }) => [...series.values()].reduce((sum, { slots }) => sum + (slots[0] ?? 0), 0))
  }
  const until = async (what: string, holds: () => boolean | Promise<boolean>): Promise<void> => {
    for (let turn = 0; turn < 4_000; turn++) {
      if (await holds()) return
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    throw new Error(`it did not come to pass within 20 s: ${what}\n${lines.join('\n')}`)
  }

  it('are served by all of them, and counted as if it were one', async () => {
    const plane = await start()
    const pod = await captured(plane, 'till')
    assert.deepEqual(new Set(await all(() => ask(pod))), new Set(['x']))
    assert.deepEqual(new Set(await all(() => ask(pod, 'reach'))), new Set(['x']))
    await until('all are counted', async () => (await connections(plane)).reduce((sum, each) => sum + each, 0) === 2 * many)
    const each = await connections(plane)
    assert.ok(each.length === 2 && each.every((count) => count > 0), `one thread got nothing: ${each.join(' and ')}`)
    const directions = [...sumConnections(plane.counts()).series.values()].map(({ labels, slots }) => `${labels['direction'] ?? ''} ${slots[0] ?? 0}`)
    assert.deepEqual(directions.sort(), [`outbound ${many}`, `plaintext ${many}`])
  })

  it('have their identity in each, and every renewal of it', async () => {
    const plane = await start()
    const pod = await captured(plane, 'books')
    const next = makeRoot('cluster.local', { nowMs: Date.now() })
    const reach = async (caller: TestSource): Promise<string> => {
      const client = createHboneClient({ credentials: caller, clock: systemClock })
      closers.push(client.close)
      const tunnel = await client.connect({ host: pod.address, port: 15008, authority: `${pod.address}:${pod.application}`, peer: { kind: 'identity', id: mesh.id('books') } })
      tunnel.end('x')
      return readAll(tunnel)
    }
    assert.deepEqual(new Set(await all(() => reach(mesh.source('till')))), new Set(['x']))
    pod.source.set(mesh.issue('books', { root: next, bundle: [mesh.root.rootPem, next.rootPem] }))
    // The answer comes after what was said before.
    await plane.refresh()
    const stranger = mesh.source('till')
    stranger.set(mesh.issue('till', { root: next, bundle: [next.rootPem] }))
    assert.deepEqual(new Set(await all(() => reach(stranger))), new Set(['x']))
    await plane.refresh()
    assert.equal(pod.traffic.stats().sessionsIn, 2 * many)
  })

  it('go by a configuration in all of them once it says so, and what it forbids is cut in all', async () => {
    const plane = await start()
    const pod = await captured(plane, 'books')
    const guarded: WorkloadEntry = { ...pod.workload, policies: ['policy/shop/none'] }
    const none: PolicyEntry = { kind: 'policy', namespace: 'shop', name: 'none', action: 'deny', rules: [{}] }
    const held = await all(async () => {
      const socket = pod.reach()
      socket.write('a')
      await new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject))
      return socket
    })
    const ends = held.map(failureOf)
    for (let round = 0; round < 3; round++) {
      await configure(plane, guarded, none)
      assert.deepEqual(new Set(await all(() => ask(pod, 'reach'))), new Set(['ECONNRESET']))
      await configure(plane, pod.workload)
      assert.deepEqual(new Set(await all(() => ask(pod, 'reach'))), new Set(['x']))
    }
    assert.deepEqual(new Set(await Promise.all(ends)), new Set(['ECONNRESET']))
  })

  it('are taken by all or by none, and what is in the way is named', async () => {
    const plane = await start()
    const pod = await open(plane, 'till')
    const blocker = createServer()
    await new Promise<void>((resolve) => blocker.listen(15006, pod.address, resolve))
    closers.push(() => void blocker.close())
    await configure(plane, pod.workload)
    await assert.rejects(begin(pod), { name: 'NetworkError', code: 'EADDRINUSE' })
    assert.equal(await failureOf(pod.send()), 'ECONNREFUSED')
    const locked = await open(plane, 'books', { lock: import.meta.filename })
    await assert.rejects(begin(locked), { name: 'NetworkError', code: 'ENOENT', syscall: `open ${locked.address}` })
  })

  it('lose the connections of a thread that ends, and no others; another takes its place in every pod, and no count goes back', async () => {
    const plane = await start()
    const [till, books] = [await open(plane, 'till'), await open(plane, 'books')]
    await configure(plane, till.workload, books.workload)
    await Promise.all([till, books].map(begin))
    const held = await all(() => hold(till))
    await plane.refresh()
    const ends = held.map((socket) => failureOf(socket))
    await threads[0]?.terminate()
    await configure(plane, { ...till.workload, serviceAccount: 'other' }, books.workload)
    await until('another has its place', () => lines.includes('worker 1 serves again'))
    assert.deepEqual(new Set([...await all(() => ask(till)), ...await all(() => ask(books, 'reach'))]), new Set(['x']))
    for (const socket of held) socket.end()
    const outcomes = Map.groupBy(await Promise.all(ends), (end) => end)
    // Of one that is gone, nobody knows whether it ended well.
    assert.deepEqual([...outcomes.keys()].filter((end) => end.startsWith('ended cleanly')).length, 1, [...outcomes.keys()].join('; '))
    await until('those that were cut are not among them', async () => {
      const [first] = await connections(plane)
      return first !== undefined
    })
    assert.deepEqual([plane.crashes(), plane.serving()], [1, 2])
    assert.ok(lines[0]?.startsWith('worker 1 ended (it was ended); its connections are cut'))
  })

  it('go on with one thread less where it can not have them again', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'waymark-threads-'))
    closers.push(() => rmSync(directory, { recursive: true }))
    const lock = join(directory, 'lock')
    const plane = await start()
    const pod = await captured(plane, 'till', { lock })
    writeFileSync(lock, '')
    await threads[1]?.terminate()
    await until('another has its place', () => lines.includes('worker 2 serves again'))
    assert.match(lines.join('\n'), /worker 2 does not carry the pod of .*, which others carry: open .*: ENOENT/)
    assert.deepEqual(new Set(await all(() => ask(pod))), new Set(['x']))
    assert.equal(await pod.traffic.deaf(), false)
    await threads[0]?.terminate()
    await until('another has its place', () => lines.includes('worker 1 serves again'))
    // Nobody has it: it is to begin anew.
    assert.equal(await pod.traffic.deaf(), true)
  })

  it('are drained in all: nothing new is taken, and what is there may end', async () => {
    const plane = await start()
    const pod = await captured(plane, 'till')
    const held = await all(() => hold(pod))
    await plane.refresh()
    assert.deepEqual([pod.traffic.stats().connections, pod.traffic.stats().phase], [many, 'capturing'])
    let drained = false
    const done = pod.traffic.drain(20_000).then(() => { drained = true })
    while ((await ask(pod)) !== 'ECONNREFUSED');
    assert.equal(drained, false)
    assert.deepEqual(new Set(await Promise.all(held.map((socket) => exchange(socket, 'b')))), new Set(['b']))
    await done
    await pod.traffic.close()
    assert.equal(pod.traffic.stats().phase, 'closed')
  })

  it('share what each listener may hold', async () => {
    const plane = await start({ maxConnections: 4 })
    const pod = await captured(plane, 'till')
    const outcomes = await all(() => hold(pod).then(() => 'held', () => 'refused'))
    const held = outcomes.filter((each) => each === 'held').length
    assert.equal(held, 4)
  })

  it('are shown by all of them to whoever looks on, also by one that took the place of another', async () => {
    const plane = await start()
    const pod = await captured(plane, 'till')
    const seen: string[] = []
    const stop = plane.tap.subscribe({ filter: { pod: 'shop/till' }, rate: 10_000 }, { write: (more) => void seen.push(...more), ready: () => true })
    await all(() => ask(pod))
    await until('each is shown, its begin and its end', () => seen.length === 2 * many)
    await threads[0]?.terminate()
    await until('another has its place', () => lines.includes('worker 1 serves again'))
    await all(() => ask(pod))
    await until('each is shown again', () => seen.length === 4 * many)
    stop()
  })

  it('are let go of when it is closed, with the last word of each thread', async () => {
    const plane = await start()
    const pod = await captured(plane, 'till')
    await all(() => ask(pod))
    await pod.traffic.close()
    assert.equal(await failureOf(pod.send()), 'ECONNREFUSED')
    await plane.close()
    assert.equal(plane.counts().flatMap(({ series }) => [...series.values()]).reduce((sum, { slots }) => sum + (slots[0] ?? 0), 0), many)
    assert.deepEqual(lines, [])
  })
})
