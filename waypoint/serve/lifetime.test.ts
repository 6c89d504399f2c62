import assert from 'node:assert/strict'
import type { Endpoint, Entry } from '../../src/model/entries.ts'
import { endpoints, http, prefix, routes, service, to } from './testing/entries.ts'
import { startRig, type Rig } from './testing/rig.ts'

describe('a waypoint, while things change,', () => {
  let rig: Rig
  beforeEach(async () => {
    rig = await startRig()
  })
  afterEach(() => rig.close())

  const reviews = service('books', 'reviews', '10.0.0.1')
  const slow = (name: string) => rig.backend((_request, response) => {
    setTimeout(() => response.end(name), 5)
  })

  /** Asks without pause from several callers until `stop`; gives every answer. */
  const load = (callers: number): { readonly stop: () => Promise<readonly string[]>; readonly count: () => number } => {
    const answers: string[] = []
    let stopped = false
    const all = Array.from({ length: callers }, async (_none, at) => {
      while (!stopped) {
        const { status, body } = await rig.ask(at % 2 === 0 ? {} : { method: 'POST', body: 'x' })
        answers.push(`${status} ${body}`)
      }
    })
    return {
      count: () => answers.length,
      stop: async () => {
        stopped = true
        await Promise.all(all)
        return answers
      },
    }
  }

  it('loses no request to reloads that move routes and endpoints', async () => {
    const [a, b] = [await slow('a'), await slow('b')]
    const config = (target: string, ...all: Endpoint[]): Entry[] => [
      reviews, service('books', 'a', '10.0.0.2'), endpoints('books', 'a', ...all), service('books', 'b', '10.0.0.3'), endpoints('books', 'b', b),
      routes('producer', 'books', reviews, http({ backends: [to('books', target)] })),
    ]
    rig.configure(config('a', a))
    const running = load(8)
    for (let i = 0; i < 40; i++) {
      rig.configure(config(i % 2 === 0 ? 'b' : 'a', ...(i % 4 === 3 ? [a, b] : [a])))
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    const answers = await running.stop()
    assert.deepEqual([...new Set(answers)].sort(), ['200 a', '200 b'])
    assert.ok(answers.length > 40)
  })

  it('keeps connections and round-robin positions over a reload of something else', async () => {
    let connections = 0
    const [a, b] = [await slow('a'), await slow('b')]
    a.server.on('connection', () => { connections++ })
    const config = (more: readonly Entry[]): Entry[] => [
      reviews, service('books', 'a', '10.0.0.2'), endpoints('books', 'a', a), service('books', 'b', '10.0.0.3'), endpoints('books', 'b', b),
      // Equal, but not the same object: as it comes over the wire.
      routes('producer', 'books', reviews, http({ backends: [to('books', 'a', { weight: 3 }), to('books', 'b')] })), ...more,
    ]
    const bodies: string[] = []
    for (let i = 0; i < 8; i++) {
      rig.configure(config([service('books', `other${i}`, `10.0.1.${i}`), endpoints('books', 'a', a, ...(i > 4 ? [{ ...b, condition: 'draining' as const }] : []))]))
      bodies.push((await rig.ask()).body)
    }
    assert.equal(bodies.slice(0, 4).filter((each) => each === 'b').length, 1)
    assert.equal(connections, 1)
  })

  it('sends nothing new to an endpoint that left, and lets its request finish', async () => {
    let finish = (): void => {}
    let asked = (): void => {}
    const begun = new Promise<void>((resolve) => { asked = resolve })
    const old = await rig.backend((_request, response) => {
      finish = () => response.end('old')
      asked()
    })
    rig.configure([reviews, endpoints('books', 'reviews', old)])
    const first = rig.ask()
    await begun
    rig.configure([reviews, endpoints('books', 'reviews', await slow('new'))])
    assert.equal((await rig.ask()).body, 'new')
    finish()
    assert.equal((await first).body, 'old')
  })

  it('uses a terminating endpoint only while none is ready', async () => {
    const [leaving, ready] = [await slow('leaving'), await slow('ready')]
    const draining: Endpoint = { ...leaving, condition: 'draining' }
    rig.configure([reviews, endpoints('books', 'reviews', draining, ready)])
    for (let i = 0; i < 6; i++) assert.equal((await rig.ask()).body, 'ready')
    rig.configure([reviews, endpoints('books', 'reviews', draining)])
    assert.equal((await rig.ask()).body, 'leaving')
  })

  it('drains without losing a request, and then is gone', async () => {
    await rig.close()
    // Nobody is waited for: every connection must go by its own last answer.
    rig = await startRig({ limits: { drainIdleMs: 60_000 } })
    let served = 0
    const backend = await rig.backend((_request, response) => {
      setTimeout(() => {
        served++
        response.end('ok')
      }, 100)
    })
    rig.configure([reviews, endpoints('books', 'reviews', backend)])
    const asked = Array.from({ length: 10 }, () => rig.ask())
    const session = await rig.http2()
    const stream = session.request({ ':path': '/', ':authority': 'reviews' })
    let body = ''
    stream.setEncoding('utf8').on('data', (chunk) => { body += String(chunk) })
    const idle = await rig.open()
    idle.on('error', () => {})
    let late = ''
    idle.on('data', (chunk) => { late += String(chunk) })
    for (let i = 0; i < 1000 && (rig.counts.get('connection') ?? 0) < 12; i++) await new Promise((resolve) => setTimeout(resolve, 2))
    const drained = rig.waypoint.drain(60_000)
    assert.equal(rig.waypoint.ready(), false)
    // A client that held a kept-alive connection gets its request served, with the word that it is the last.
    idle.write('GET / HTTP/1.1\r\nhost: reviews\r\n\r\n')
    for (const answer of await Promise.all(asked)) assert.deepEqual([answer.status, answer.body], [200, 'ok'])
    await drained
    assert.equal(body, 'ok')
    assert.match(late, /^HTTP\/1\.1 200 /)
    assert.match(late, /\r\nconnection: close\r\n/i)
    assert.equal(served, 12)
    await assert.rejects(rig.open())
  })

  it('cuts what is left when the drain takes too long', async () => {
    let asked = (): void => {}
    const begun = new Promise<void>((resolve) => { asked = resolve })
    rig.configure([reviews, endpoints('books', 'reviews', await rig.backend(() => asked()))])
    const hanging = assert.rejects(rig.ask())
    await begun
    await rig.waypoint.drain(100)
    await hanging
  })

  it('takes over an edit of one route among thousands in a moment', () => {
    const rules = (n: number) => http(...Array.from({ length: n }, (_none, at) => ({ matches: prefix(`/p${at}`), backends: [to('books', 'reviews')] })))
    const entries: Entry[] = []
    for (let i = 0; i < 1000; i++) {
      const each = service('books', `s${i}`, `10.1.${i >> 8}.${i & 255}`)
      entries.push(each, endpoints('books', `s${i}`), routes('producer', 'books', each, rules(5)))
    }
    const started = performance.now()
    rig.configure(entries)
    assert.ok(performance.now() - started < 5000)
    const edited = entries.map((each) => (each.kind === 'routes' && each.service.name === 's7' ? { ...each, routes: rules(6) } : each))
    const again = performance.now()
    rig.configure(edited)
    assert.ok(performance.now() - again < 3000)
  })
})
