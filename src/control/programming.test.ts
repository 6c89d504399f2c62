import assert from 'node:assert/strict'
import { resourceSetOf, type Resource } from '../api/resources.ts'
import { fakeClock } from '../kit/testing/fake-clock.ts'
import { gatewayNameLabel } from '../model/install.ts'
import type { NamespacedName } from '../model/refs.ts'
import type { Translation } from '../translate/options.ts'
import type { Holding } from './programmed.ts'
import { createProgramming, type Programming } from './programming.ts'

const pod = (name: string, ready = true, deleting = false): Resource => ({
  apiVersion: 'v1', kind: 'Pod',
  metadata: { name, namespace: 'shop', labels: { [gatewayNameLabel]: 'waypoint' }, ...(deleting ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}) },
  status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
})

interface World {
  readonly programming: Programming
  /** The sets of ready waypoints whose statuses were told. */
  readonly told: (readonly NamespacedName[])[]
  readonly holdings: Holding[]
  readonly advance: (ms: number) => void
  /** Sets the clock back; timers do not follow it. */
  readonly setBack: (ms: number) => void
  readonly lines: string[]
  /** What was published, by its number. */
  readonly published: number[]
  present: string
  /** The part that throws. */
  broken: 'translate' | 'publish' | 'onTranslation' | 'onStatuses' | undefined
}

function world(): World {
  const timers = fakeClock()
  let behindMs = 0
  const clock = { ...timers, now: () => timers.now() - behindMs }
  const told: (readonly NamespacedName[])[] = []
  const holdings: Holding[] = []
  const state: Pick<World, 'present' | 'broken'> = { present: 'v1', broken: undefined }
  const lines: string[] = []
  const published: number[] = []
  let translations = 0
  const mayBreak = (part: World['broken']): void => {
    if (state.broken === part) throw new TypeError(`no ${String(part)}`)
  }
  const readyOf = new WeakMap<Translation, readonly NamespacedName[]>()
  const programming = createProgramming({
    clock,
    log: (line) => lines.push(line),
    translate: (_, ready) => {
      mayBreak('translate')
      translations++
      const translation: Translation = {
        snapshot: new Map([['waypoint/shop/waypoint', { kind: 'waypoint', namespace: 'shop', name: 'waypoint', identity: 'x', addresses: [] }]]),
        statuses: [], warnings: [], infra: [],
      }
      readyOf.set(translation, [...ready])
      return translation
    },
    publish: () => {
      mayBreak('publish')
      published.push(translations)
    },
    holdings: () => holdings,
    expected: () => state.present,
    onTranslation: () => mayBreak('onTranslation'),
    onStatuses: (translation) => {
      mayBreak('onStatuses')
      told.push(readyOf.get(translation) ?? [])
    },
  })
  return {
    programming, told, holdings, lines, published,
    advance: (ms) => timers.advance(ms),
    setBack: (ms) => void (behindMs += ms),
    get broken() {
      return state.broken
    },
    set broken(value) {
      state.broken = value
    },
    get present() {
      return state.present
    },
    set present(value) {
      state.present = value
    },
  }
}

describe('programming', () => {
  it('tells at once that a waypoint without pods is not programmed', () => {
    const { programming, told } = world()
    programming.update(resourceSetOf([]))
    assert.deepEqual(told, [[]])
  })

  it('tells statuses once, when every ready pod acknowledged', () => {
    const { programming, told, holdings, advance } = world()
    programming.update(resourceSetOf([pod('a'), pod('b')]))
    assert.deepEqual(told, [])
    holdings.push({ namespace: 'shop', pod: 'a', hash: 'v1' })
    programming.acknowledged()
    advance(20)
    assert.deepEqual(told, [])
    holdings.push({ namespace: 'shop', pod: 'b', hash: 'v1' })
    programming.acknowledged()
    advance(20)
    assert.deepEqual(told, [['shop/waypoint']])
    advance(5_000)
    assert.equal(told.length, 1)
  })

  it('tells in time also if the clock is set back meanwhile', () => {
    const { programming, told, advance, setBack } = world()
    programming.update(resourceSetOf([pod('a')]))
    setBack(3_600_000)
    advance(2_500)
    assert.deepEqual(told, [[]])
  })

  it('does not count pods that are not ready or are on their way out', () => {
    const { programming, told, holdings } = world()
    holdings.push({ namespace: 'shop', pod: 'a', hash: 'v1' })
    programming.update(resourceSetOf([pod('a'), pod('b', false), pod('c', true, true)]))
    assert.deepEqual(told, [['shop/waypoint']])
  })

  it('an edit that is acknowledged soon never shows as not programmed', () => {
    const world1 = world()
    const { programming, told, holdings, advance } = world1
    holdings.push({ namespace: 'shop', pod: 'a', hash: 'v1' })
    programming.update(resourceSetOf([pod('a')]))
    world1.present = 'v2'
    programming.update(resourceSetOf([pod('a')]))
    advance(50)
    holdings[0] = { namespace: 'shop', pod: 'a', hash: 'v2' }
    programming.acknowledged()
    advance(2_000)
    assert.deepEqual(told, [['shop/waypoint'], ['shop/waypoint']])
  })

  it('a pod that does not acknowledge within a second takes the condition away', () => {
    const world1 = world()
    const { programming, told, holdings, advance } = world1
    holdings.push({ namespace: 'shop', pod: 'a', hash: 'v1' })
    programming.update(resourceSetOf([pod('a')]))
    world1.present = 'v2'
    programming.update(resourceSetOf([pod('a')]))
    advance(1_001)
    assert.deepEqual(told, [['shop/waypoint'], []])
  })

  it('changes without end do not keep statuses from being told', () => {
    const world1 = world()
    const { programming, told, holdings, advance } = world1
    for (let change = 0; change < 40; change++) {
      world1.present = `v${change}`
      programming.update(resourceSetOf([pod('a')]))
      advance(100)
    }
    assert.ok(told.length >= 2, `told ${told.length} times`)
    assert.deepEqual(told.at(-1), [])
    holdings.push({ namespace: 'shop', pod: 'a', hash: 'v39' })
    programming.acknowledged()
    advance(20)
    assert.deepEqual(told.at(-1), ['shop/waypoint'])
  })

  it('goes on with the last good translation while one throws, and says so once', () => {
    const world1 = world()
    const { programming, lines, published } = world1
    programming.update(resourceSetOf([]))
    const good = programming.translation()
    world1.broken = 'translate'
    programming.update(resourceSetOf([pod('a')]))
    programming.update(resourceSetOf([pod('b')]))
    assert.equal(programming.translation(), good)
    assert.deepEqual(published, [1])
    assert.deepEqual(programming.defects(), ['a defect in translation: no translate; what was before stays in force'])
    world1.broken = undefined
    programming.update(resourceSetOf([pod('c')]))
    assert.deepEqual(published, [1, 2])
    assert.deepEqual(programming.defects(), [])
    assert.deepEqual(lines, ['a defect in translation: no translate; what was before stays in force', 'translation: it works again'])
  })

  for (const part of ['publish', 'onTranslation', 'onStatuses'] as const) {
    it(`a throw of ${part} keeps nothing else from its work`, () => {
      const world1 = world()
      const { programming, told, published } = world1
      world1.broken = part
      programming.update(resourceSetOf([]))
      assert.equal(programming.defects().length, 1)
      assert.deepEqual([published.length, told.length], [part === 'publish' ? 0 : 1, part === 'onStatuses' ? 0 : 1])
      world1.broken = undefined
      programming.update(resourceSetOf([]))
      assert.deepEqual(programming.defects(), [])
    })
  }

  it('a throw out of a timer does not get to the process', () => {
    const world1 = world()
    const { programming, holdings, advance } = world1
    programming.update(resourceSetOf([pod('a')]))
    holdings.push({ namespace: 'shop', pod: 'a', hash: 'v1' })
    programming.acknowledged()
    world1.broken = 'translate'
    advance(5_000)
    assert.equal(programming.defects().length, 1)
  })

  it('many problems in a moment cost one translation', () => {
    const { programming, published, advance } = world()
    programming.update(resourceSetOf([]))
    for (let times = 0; times < 100; times++) programming.again()
    advance(20)
    assert.deepEqual(published, [1, 2])
  })
})
