import assert from 'node:assert/strict'
import { systemClock, type Clock } from '../../kit/clock.ts'
import { fakeClock } from '../../kit/testing/fake-clock.ts'
import { listWatch, type ListWatch, type ListWatchOptions } from './list-watch.ts'
import type { RelistReason, RestartReason, WatchEventType, WatchObserver } from './observer.ts'
import { body, hangUp, startStub, status, type Collection, type Stub } from './testing/stub.ts'
import { until } from './testing/until.ts'

const path = '/apis/example.dev/v1/things'

describe('listWatch', () => {
  let stub: Stub
  let things: Collection
  let followed: ListWatch[] = []
  beforeEach(async () => {
    stub = await startStub()
    things = stub.serve(path)
  })
  afterEach(async () => {
    for (const each of followed) each.close()
    followed = []
    await stub.close()
  })

  const follow = (more: Partial<ListWatchOptions> = {}) => {
    const changes: string[] = []
    const [relists, restarts, events]: [RelistReason[], RestartReason[], WatchEventType[]] = [[], [], []]
    const heard = { bytes: 0, synced: false, held: 0 }
    const observer: WatchObserver = {
      relist: (_, reason) => relists.push(reason),
      restart: (_, reason) => restarts.push(reason),
      event: (_, type) => events.push(type),
      bytes: (_, count) => (heard.bytes += count),
      synced: (_, synced) => (heard.synced = synced),
      held: (_, count) => (heard.held = count),
    }
    const watch = listWatch({
      client: stub.client,
      clock: systemClock,
      random: () => 0,
      kind: 'Thing',
      apiVersion: 'example.dev/v1',
      path,
      observer,
      onChanges: (some) => changes.push(...some.map(({ kind, key }) => `${kind} ${key}`)),
      ...more,
    })
    followed.push(watch)
    const watching = (): Promise<void> => until('an open watch', () => things.watches() === 1 && watch.problem() === undefined)
    return { watch, changes, relists, restarts, events, heard, watching }
  }
  const sizeOf = (watch: ListWatch, key: string): unknown => watch.objects.get(key)?.['size']

  it('lists, then follows what is added, changed and deleted', async () => {
    things.put('a', { size: 1 })
    const { watch, changes, watching, heard, events } = follow()
    await watching()
    assert.equal(watch.synced(), true)
    assert.deepEqual(watch.objects.get('shop/a'), {
      apiVersion: 'example.dev/v1',
      kind: 'Thing',
      metadata: { name: 'a', namespace: 'shop', resourceVersion: '1001' },
      size: 1,
    })
    things.put('b')
    things.put('a', { size: 2 })
    things.remove('b')
    await until('the deletion', () => changes.at(-1) === 'delete shop/b')
    assert.deepEqual(changes, ['put shop/a', 'put shop/b', 'put shop/a', 'delete shop/b'])
    assert.equal(sizeOf(watch, 'shop/a'), 2)
    assert.deepEqual(events, ['added', 'modified', 'deleted'])
    assert.equal(heard.synced, true)
    assert.equal(heard.held, 1)
    assert.ok(heard.bytes > 100)
  })

  it('asks for bookmarks, for an end at a random time, and for its selectors', async () => {
    const { watching } = follow({ labelSelector: 'a=b', fieldSelector: 'metadata.name=x', random: () => 0.5 })
    await watching()
    const [list, watch] = stub.requests.map(({ query }) => Object.fromEntries(query))
    const selectors = { labelSelector: 'a=b', fieldSelector: 'metadata.name=x' }
    assert.deepEqual(list, { ...selectors, limit: '500' })
    assert.deepEqual(watch, { ...selectors, watch: 'true', allowWatchBookmarks: 'true', resourceVersion: '1000', timeoutSeconds: '440' })
  })

  it('lists in pages', async () => {
    for (let at = 0; at < 1201; at++) things.put(`thing-${at}`)
    const { watch, watching } = follow()
    await watching()
    assert.equal(watch.objects.size, 1201)
    assert.equal(things.lists(), 3)
  })

  it('starts a list in pages over when its version is gone in the middle', async () => {
    for (let at = 0; at < 700; at++) things.put(`thing-${at}`)
    things.onList.push((response, query, request) => {
      things.compact()
      things.remove('thing-3')
      // The first page as it was before.
      response.end(JSON.stringify({ metadata: { resourceVersion: '900', continue: 'gone' }, items: [{ metadata: { name: 'ghost', namespace: 'shop' } }] }))
      assert.ok(request.url !== undefined && query.has('limit'))
    })
    const { watch, watching, restarts } = follow()
    await watching()
    assert.equal(watch.objects.size, 699)
    assert.equal(watch.objects.has('shop/ghost'), false)
    assert.deepEqual(restarts, [])
  })

  it('opens the next watch at once when one ends, from the version where it was', async () => {
    const clock = steppedClock()
    const { watching, relists } = follow({ clock })
    await watching()
    things.bookmark()
    things.put('a')
    await until('the event', () => followed[0]?.objects.size === 1)
    clock.advance(300_000 - 140_000)
    things.end()
    await until('the next watch', () => things.opened() === 2)
    assert.equal(stub.requests.at(-1)?.query.get('resourceVersion'), '1001')
    assert.deepEqual(relists, ['start'])
  })

  it('goes on from the version of a bookmark', async () => {
    const { watching, events } = follow()
    const others = stub.serve('/apis/example.dev/v1/others')
    await watching()
    others.put('of another kind')
    things.bookmark()
    await until('the bookmark', () => events.includes('bookmark'))
    things.cut()
    await until('the next watch', () => things.opened() === 2)
    assert.equal(stub.requests.at(-1)?.query.get('resourceVersion'), '1001')
  })

  it('resumes after a reset, without a new list and without losing or repeating anything', async () => {
    things.put('a')
    const { watch, watching, changes, relists, restarts } = follow()
    await watching()
    things.put('b')
    await until('the first event', () => watch.objects.size === 2)
    things.cut()
    things.put('c')
    things.remove('a')
    await until('what was missed', () => changes.at(-1) === 'delete shop/a')
    assert.deepEqual(changes, ['put shop/a', 'put shop/b', 'put shop/c', 'delete shop/a'])
    assert.deepEqual(relists, ['start'])
    assert.deepEqual(restarts, ['cut'])
  })

  it('lists again when the version is gone by status 410, and reports what went meanwhile', async () => {
    things.put('a')
    things.put('b')
    const { watching, changes, relists } = follow()
    await watching()
    things.cut()
    things.remove('a')
    things.compact()
    await until('the deletion', () => changes.at(-1) === 'delete shop/a')
    assert.deepEqual(relists, ['start', 'expired'])
  })

  it('lists again when the version is gone by an ERROR event', async () => {
    things.put('a')
    const { watching, changes, relists, restarts, events } = follow()
    await watching()
    things.onList.push(body(JSON.stringify({ metadata: { resourceVersion: '1001' }, items: null })))
    things.send(`${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' } })}\n`)
    await until('the deletion', () => changes.at(-1) === 'delete shop/a')
    assert.deepEqual(relists, ['start', 'expired'])
    assert.deepEqual(restarts, ['expired'])
    assert.ok(events.includes('error'))
  })

  it('lists again after any other ERROR event', async () => {
    const { watching, relists } = follow()
    await watching()
    things.send(`${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 500, message: 'etcd event without previous value' } })}\n`)
    await until('the list', () => relists.length === 2)
    assert.deepEqual(relists, ['start', 'error-event'])
  })

  it('leaves a server alone for as long as Retry-After says', async () => {
    const clock = fakeClock()
    things.onList.push(status(429, 'TooManyRequests', { 'retry-after': '7' }))
    const { watch } = follow({ clock })
    await until('the answer', () => watch.problem()?.reason === 'throttled')
    clock.advance(6999)
    await turns()
    assert.equal(things.lists(), 1)
    await until('the next try', () => things.lists() === 2, () => clock.advance(1))
    await until('the watch', () => things.watches() === 1)
  })

  it('reads its credentials anew after a 401', async () => {
    const { watching, relists } = follow()
    await watching()
    things.onWatch.push(status(401, 'Unauthorized'))
    things.cut()
    await until('the next watch', () => things.opened() === 2)
    assert.equal(stub.refreshed(), 1)
    assert.equal(stub.requests.at(-1)?.headers.authorization, 'Bearer token-2')
    assert.deepEqual(relists, ['start'])
  })

  it('says that it may not list, and goes on when it may', async () => {
    things.onList.push(status(403, 'Forbidden'), status(403, 'Forbidden'))
    const clock = fakeClock()
    const { watch, heard } = follow({ clock, random: () => 0.5 })
    await until('the second refusal', () => watch.problem()?.failures === 2, () => clock.advance(50))
    assert.equal(watch.problem()?.reason, 'forbidden')
    assert.match(watch.problem()?.message ?? '', /Forbidden it is/)
    assert.equal(watch.synced(), false)
    assert.equal(heard.synced, false)
    await until('the watch', () => things.watches() === 1 && watch.problem() === undefined, () => clock.advance(50))
    assert.equal(heard.synced, true)
  })

  it('still sees changes with each try if it may list but not watch', async () => {
    for (let at = 0; at < 100; at++) things.onWatch.push(status(403, 'Forbidden'))
    const { watch, changes } = follow({ random: Math.random })
    await until('the refusal', () => watch.problem()?.reason === 'forbidden')
    things.put('a')
    await until('the object', () => changes.includes('put shop/a'))
  })

  it('waits for a kind that is not served', async () => {
    stub.answer(path, undefined)
    const { watch, watching } = follow()
    await until('the refusal', () => watch.problem()?.reason === 'missing')
    assert.equal(watch.synced(), false)
    things = stub.serve(path)
    things.put('a')
    await watching()
    assert.deepEqual([...watch.objects.keys()], ['shop/a'])
  })

  it('keeps what it holds when a kind is not served for a moment, and drops it after a minute', async () => {
    const clock = fakeClock()
    things.put('a')
    const { watch, changes } = follow({ clock })
    await until('the watch', () => things.watches() === 1)
    stub.answer(path, undefined)
    things.cut()
    await until('the refusal', () => watch.problem()?.reason === 'missing', () => clock.advance(0))
    clock.advance(59_000)
    await turns()
    assert.equal(watch.objects.size, 1)
    await until('the deletion', () => changes.at(-1) === 'delete shop/a', () => clock.advance(100))
    assert.equal(watch.synced(), true)
  })

  it('outlasts errors of the server', async () => {
    things.onList.push(status(500, 'InternalError'), status(503, 'ServiceUnavailable'))
    things.onWatch.push(status(504, 'Timeout'))
    const { watching, restarts, relists } = follow()
    await watching()
    assert.deepEqual(restarts, ['server-error', 'server-error', 'server-error'])
    assert.deepEqual(relists, ['start', 'start', 'start'])
  })

  it('gives up a version with which the server fails again and again', async () => {
    for (let at = 0; at < 5; at++) things.onWatch.push(status(504, 'Timeout'))
    const { watching, relists } = follow()
    await watching()
    assert.deepEqual(relists, ['start', 'failing'])
  })

  it('outlasts connections that are closed without an answer', async () => {
    things.onList.push(hangUp, hangUp)
    things.onWatch.push(hangUp)
    const { watching, restarts } = follow()
    await watching()
    assert.deepEqual(restarts, ['cut', 'cut', 'cut'])
  })

  it('opens a new watch when nothing came for three minutes, though the connection lives', async () => {
    const clock = fakeClock()
    const { restarts, relists } = follow({ clock })
    await until('the watch', () => things.watches() === 1)
    clock.advance(170_000)
    things.bookmark()
    await turns()
    clock.advance(170_000)
    await turns()
    assert.deepEqual(restarts, [])
    clock.advance(10_001)
    await until('the next watch', () => things.opened() === 2, () => clock.advance(0))
    assert.deepEqual(restarts, ['silent'])
    assert.deepEqual(relists, ['start'])
  })

  it('notices silence in time also if the clock is set back', async () => {
    const timers = fakeClock(10_000_000)
    let behindMs = 0
    const { restarts } = follow({ clock: { ...timers, now: () => timers.now() - behindMs } })
    await until('the watch', () => things.watches() === 1)
    await turns()
    behindMs = 3_600_000
    // Twice, for the jump itself may make it start anew.
    for (let turn = 0; turn < 2; turn++) {
      timers.advance(181_000)
      await turns()
    }
    await until('the next watch', () => things.opened() >= 2, () => timers.advance(0))
    assert.deepEqual(restarts, ['silent'])
  })

  it('does not wait for ever for a list either', async () => {
    const clock = fakeClock()
    things.onList.push((response) => response.write('{"metadata":'))
    const { watch } = follow({ clock })
    await until('the request', () => things.lists() === 1)
    clock.advance(61_000)
    await until('the watch', () => things.watches() === 1, () => clock.advance(0))
    assert.equal(watch.synced(), true)
  })

  for (const [what, text] of [
    ['that is not JSON', '{"type":"ADDED","obj\n'],
    ['that is no event', '[1,2,3]\n'],
    ['without a type', '{"object":{"metadata":{"name":"x"}}}\n'],
  ] as const) {
    it(`lists again after a line ${what}`, async () => {
      const { watching, relists, restarts } = follow()
      await watching()
      things.send(text)
      await until('the list', () => relists.length === 2)
      assert.deepEqual(relists, ['start', 'bad-line'])
      assert.deepEqual(restarts, ['bad-line'])
    })
  }

  it('lists again when a list is cut off or not JSON', async () => {
    things.onList.push(body('{"metadata":{"resourceVersion":"1"},"items":['), body('<html>'), body('{"items":[]}'), body('{"metadata":{"resourceVersion":"1"},"items":7}'))
    const { watching, restarts } = follow()
    await watching()
    assert.deepEqual(restarts, ['bad-line', 'bad-line', 'bad-line', 'bad-line'])
  })

  it('reads lines and characters that come in pieces', async () => {
    const { watch, watching } = follow()
    await watching()
    const line = Buffer.from(`${JSON.stringify({ type: 'ADDED', object: { metadata: { name: 'a', namespace: 'shop', resourceVersion: '1001' }, size: 'größe' } })}\n`)
    for (const byte of line) {
      things.send(Buffer.from([byte]) as unknown as string)
      await turns(1)
    }
    await until('the object', () => sizeOf(watch, 'shop/a') === 'größe')
  })

  it('leaves out what is no object with a name, counts it, and goes on', async () => {
    const odd = [null, 7, 'text', [], {}, { metadata: null }, { metadata: { name: 7 } }, { metadata: { name: '' } }, { metadata: { name: 'x', namespace: {} } }]
    things.onList.push(body(JSON.stringify({ metadata: { resourceVersion: '1000' }, items: [...odd, { metadata: { name: 'good' } }] })))
    const { watch, watching, events, changes } = follow()
    await watching()
    assert.deepEqual([...watch.objects.keys()], ['/good'])
    for (const object of odd) things.send(`${JSON.stringify({ type: 'ADDED', object })}\n`)
    things.send(`${JSON.stringify({ type: 'RENAMED', object: { metadata: { name: 'new' } } })}\n`)
    things.put('a')
    await until('the good one', () => changes.includes('put shop/a'))
    assert.equal(events.filter((type) => type === 'dropped').length, odd.length * 2 + 1)
    assert.equal(watch.objects.size, 2)
  })

  it('leaves out an object that can not be trimmed, also when it was good before', async () => {
    const { watch, watching, events, changes } = follow({
      trim: (value) => {
        if (value['size'] === 'bad') throw new Error('what is this?')
        return value as never
      },
    })
    await watching()
    things.put('a')
    things.put('b')
    things.put('a', { size: 'bad' })
    await until('the deletion', () => changes.includes('delete shop/a'))
    assert.deepEqual([...watch.objects.keys()], ['shop/b'])
    assert.equal(events.filter((type) => type === 'dropped').length, 1)
  })

  it('takes keys called __proto__ as keys', async () => {
    const { watch, watching } = follow()
    await watching()
    const hostile = '{"name":"__proto__","resourceVersion":"1001","labels":{"__proto__":"x","constructor":"y"},"managedFields":[]}'
    things.send(`{"type":"ADDED","object":{"metadata":${hostile},"__proto__":{"polluted":true}}}\n`)
    await until('the object', () => watch.objects.size === 1)
    const object = watch.objects.get('/__proto__')
    assert.ok(object)
    assert.equal(object['polluted'], undefined)
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined)
    assert.deepEqual(Object.keys(object.metadata.labels ?? {}), ['__proto__', 'constructor'])
    assert.ok(!('managedFields' in object.metadata))
  })

  it('freezes what it hands on', async () => {
    things.put('a', { spec: { list: [{ deep: 1 }] } })
    const { watch, watching } = follow()
    await watching()
    const object = watch.objects.get('shop/a') as unknown as { spec: { list: { deep: number }[] } }
    assert.throws(() => (object.spec.list[0]!.deep = 2), TypeError)
    assert.throws(() => object.spec.list.push({ deep: 3 }), TypeError)
  })

  it('keeps the very objects that a new list does not change, and is silent about them', async () => {
    things.put('a')
    things.put('b')
    const { watch, watching, changes, relists } = follow()
    await watching()
    const before = watch.objects.get('shop/a')
    things.put('b', { size: 2 })
    things.send('nonsense\n')
    await until('the list', () => relists.length === 2 && things.watches() === 1)
    assert.equal(watch.objects.get('shop/a'), before)
    assert.deepEqual(changes, ['put shop/a', 'put shop/b', 'put shop/b'])
  })

  it('ignores events that it has seen', async () => {
    const { watch, watching, changes } = follow()
    await watching()
    const event = (type: string, version: number, size: number): string =>
      `${JSON.stringify({ type, object: { metadata: { name: 'a', namespace: 'shop', resourceVersion: String(version) }, size } })}\n`
    for (const text of [event('ADDED', 1003, 3), event('ADDED', 1001, 1), event('DELETED', 1002, 1), event('MODIFIED', 1003, 3)]) things.send(text)
    things.put('b')
    await until('the last', () => changes.includes('put shop/b'))
    assert.deepEqual(changes, ['put shop/a', 'put shop/b'])
    assert.equal(sizeOf(watch, 'shop/a'), 3)
  })

  it('asks for the path again before each list, and treats what it throws as an answer', async () => {
    let asked = 0
    const { watching, restarts } = follow({
      path: () => (++asked < 3 ? Promise.reject(new Error('not yet')) : Promise.resolve(path)),
    })
    await watching()
    assert.equal(asked, 3)
    assert.deepEqual(restarts, ['defect', 'defect'])
  })

  it('says nothing after it was closed, and lets its connections go', async () => {
    const { watch, watching, changes } = follow()
    await watching()
    watch.close()
    things.put('a')
    await until('the end of the watch', () => things.watches() === 0)
    await turns()
    assert.deepEqual(changes, [])
  })

  it('ends while it waits for the next try', async () => {
    const clock = fakeClock()
    things.onList.push(status(500, 'InternalError'))
    const { watch } = follow({ clock, random: () => 0.9 })
    await until('the refusal', () => watch.problem() !== undefined)
    watch.close()
    clock.advance(1_000_000)
    await turns()
    assert.equal(things.lists(), 1)
  })
})

/** Lets everything happen that is ready to: a few turns of the event loop with the network. */
async function turns(count = 20): Promise<void> {
  for (let at = 0; at < count; at++) await new Promise((resolve) => setTimeout(resolve, 1))
}

/** The system's clock, which can be moved forward besides; timers do not see that. */
function steppedClock(): Clock & { readonly advance: (ms: number) => void } {
  let aheadMs = 0
  return { now: () => Date.now() + aheadMs, after: systemClock.after, advance: (ms) => (aheadMs += ms) }
}
