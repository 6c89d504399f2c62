import assert from 'node:assert/strict'
import type { SessionPersistence } from '../../src/model/route.ts'
import { cookieValues, createSessionKeeper } from './persistence.ts'

const key = Buffer.alloc(32, 7)
const cookie: SessionPersistence = { type: 'cookie', name: 'sid', lifetime: 'session' }
const header: SessionPersistence = { type: 'header', name: 'X-Session', lifetime: 'session' }
const scope = 'HTTPRoute/shop/cart/0'
const endpoint = 'shop/cart:80|10.0.0.7:8080'
const nowMs = 1_800_000_000_000

/** The client's side: what it sends after an answer with `issued`. */
const sent = (issued: readonly [string, string] | undefined): string[] => {
  assert.ok(issued)
  const [name, value] = issued
  return name === 'set-cookie' ? ['cookie', `other=1; ${value.split(';')[0] ?? ''}`] : [name, value]
}

describe('createSessionKeeper', () => {
  for (const policy of [cookie, header]) {
    it(`finds the endpoint again in what it issued as ${policy.type}`, () => {
      const keeper = createSessionKeeper(policy, scope, key)
      const session = keeper.find(sent(keeper.issue(endpoint, undefined, nowMs)), nowMs + 1_000)
      assert.deepEqual(session, { endpointId: keeper.idOf(endpoint), createdMs: nowMs, usedMs: nowMs })
    })
  }

  it('agrees with every replica that has the same key', () => {
    const issued = createSessionKeeper(cookie, scope, key).issue(endpoint, undefined, nowMs)
    const other = createSessionKeeper(cookie, scope, Buffer.from(key))
    assert.equal(other.find(sent(issued), nowMs)?.endpointId, other.idOf(endpoint))
  })

  it('does not believe tokens of another key, another rule, or changed ones', () => {
    const issued = createSessionKeeper(header, scope, key).issue(endpoint, undefined, nowMs)
    assert.equal(createSessionKeeper(header, scope, Buffer.alloc(32, 8)).find(sent(issued), nowMs), undefined)
    assert.equal(createSessionKeeper(header, 'HTTPRoute/shop/cart/1', key).find(sent(issued), nowMs), undefined)
    const [name = '', value = ''] = sent(issued)
    for (let at = 0; at < value.length - 1; at++) {
      const changed = value.slice(0, at) + (value[at] === 'A' ? 'B' : 'A') + value.slice(at + 1)
      assert.equal(createSessionKeeper(header, scope, key).find([name, changed], nowMs), undefined, `character ${at}`)
    }
    for (const junk of ['', 'a', value.slice(1), `${value}A`, 'x'.repeat(8_000)]) {
      assert.equal(createSessionKeeper(header, scope, key).find([name, junk], nowMs), undefined)
    }
  })

  it('shows nothing of the endpoint', () => {
    const token = sent(createSessionKeeper(header, scope, key).issue(endpoint, undefined, nowMs))[1] ?? ''
    const bytes = Buffer.from(token, 'base64url')
    assert.ok(!bytes.includes('10.0.0.7') && !bytes.includes(Buffer.from([10, 0, 0, 7])))
  })

  it('issues nothing if the client is where its token says', () => {
    const keeper = createSessionKeeper(cookie, scope, key)
    const session = keeper.find(sent(keeper.issue(endpoint, undefined, nowMs)), nowMs)
    assert.equal(keeper.issue(endpoint, session, nowMs + 5), undefined)
    assert.ok(keeper.issue('another', session, nowMs + 5))
  })

  it('ends a session after the absolute timeout, used or not', () => {
    const keeper = createSessionKeeper({ ...cookie, absoluteTimeoutMs: 60_000, idleTimeoutMs: 50_000 }, scope, key)
    const first = keeper.find(sent(keeper.issue(endpoint, undefined, nowMs)), nowMs + 40_000)
    const again = sent(keeper.issue(endpoint, first, nowMs + 40_000))
    assert.equal(keeper.find(again, nowMs + 59_999)?.createdMs, nowMs)
    assert.equal(keeper.find(again, nowMs + 60_000), undefined)
  })

  it('ends a session after the idle timeout, which each use starts anew', () => {
    const keeper = createSessionKeeper({ ...cookie, idleTimeoutMs: 10_000 }, scope, key)
    const first = sent(keeper.issue(endpoint, undefined, nowMs))
    assert.equal(keeper.find(first, nowMs + 10_000), undefined)
    const session = keeper.find(first, nowMs + 9_999)
    const second = sent(keeper.issue(endpoint, session, nowMs + 9_999))
    assert.ok(keeper.find(second, nowMs + 19_998))
    assert.equal(keeper.find(second, nowMs + 19_999), undefined)
  })

  it('a timeout of 0 is off', () => {
    const keeper = createSessionKeeper({ ...cookie, idleTimeoutMs: 0, absoluteTimeoutMs: 0 }, scope, key)
    assert.ok(keeper.find(sent(keeper.issue(endpoint, undefined, nowMs)), nowMs + 1e9))
  })

  it('a session cookie has no expiry, a permanent one the time that is left', () => {
    const timed = { ...cookie, absoluteTimeoutMs: 60_000, idleTimeoutMs: 50_000 }
    const attributes = (issued: readonly [string, string] | undefined): string | undefined => issued?.[1].replace(/^[^;]*; /, '')
    assert.equal(attributes(createSessionKeeper(timed, scope, key).issue(endpoint, undefined, nowMs)), 'Path=/; HttpOnly; SameSite=Lax')
    const permanent = createSessionKeeper({ ...timed, lifetime: 'permanent' }, scope, key)
    const issued = permanent.issue(endpoint, undefined, nowMs, '/cart')
    assert.equal(attributes(issued), 'Path=/cart; Max-Age=60; HttpOnly; SameSite=Lax')
    const session = permanent.find(sent(issued), nowMs + 20_500)
    assert.equal(attributes(permanent.issue(endpoint, session, nowMs + 20_500)), 'Path=/; Max-Age=39; HttpOnly; SameSite=Lax')
  })

  it('lets nothing of a path or name become a cookie attribute', () => {
    assert.match(
      createSessionKeeper(cookie, scope, key).issue(endpoint, undefined, nowMs, '/a;Domain=evil')?.[1] ?? '',
      /; Path=\/; HttpOnly/,
    )
    const keeper = createSessionKeeper({ ...cookie, name: 'a; b' }, scope, key)
    assert.equal(keeper.issue(endpoint, undefined, nowMs), undefined)
  })

  it('finds its cookie among others of the same name', () => {
    const keeper = createSessionKeeper(cookie, scope, key)
    const [, mine = ''] = sent(keeper.issue(endpoint, undefined, nowMs))
    assert.ok(keeper.find(['cookie', 'sid=stale', 'cookie', mine], nowMs))
  })

  it('looks at no more than four tokens of one request', () => {
    const keeper = createSessionKeeper(header, scope, key)
    const [name = '', mine = ''] = sent(keeper.issue(endpoint, undefined, nowMs))
    const forged = 'A'.repeat(mine.length)
    assert.ok(keeper.find([name, [forged, forged, forged, mine].join(', ')], nowMs))
    assert.equal(keeper.find([name, [forged, forged, forged, forged, mine].join(', ')], nowMs), undefined)
  })

  it('refuses a short key', () => {
    assert.throws(() => createSessionKeeper(cookie, scope, Buffer.alloc(15)), /at least 16/)
  })
})

describe('cookieValues', () => {
  const cases: readonly (readonly [cookie: readonly string[], values: readonly string[]])[] = [
    [['a=1'], ['1']],
    [['b=2; a=1;a=3 ; c=4'], ['1', '3']],
    [['a="q"'], ['q']],
    [['a=x=y'], ['x=y']],
    [['A=1; aa=2; a'], []],
    [['b=2', 'a=1'], ['1']],
    [[], []],
  ]
  for (const [lines, values] of cases) {
    it(
      `${JSON.stringify(lines)} has ${JSON.stringify(values)} for a`,
      () => assert.deepEqual(cookieValues(lines.flatMap((each) => ['cookie', each]), 'a'), values),
    )
  }
})
