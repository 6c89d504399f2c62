import assert from 'node:assert/strict'
import fc from 'fast-check'
import { candidatesOf, pickEndpoint } from './balance.ts'

/** Names that begin with `d` are draining. */
const of = (...names: readonly string[]): ReturnType<typeof candidatesOf<string>> =>
  candidatesOf(names, (name) => (name.startsWith('d') ? 'draining' : 'ready'))

/** A repeatable sequence of numbers in 0 ≤ x < 1. */
const sequence = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const idle = (): number => 0
/** Everything that may be picked. */
const reachable = (names: readonly string[], options: { exclude?: readonly string[]; ejected?: readonly string[] } = {}): string[] => {
  const random = sequence(1)
  const state = { random, isEjected: (name: string) => options.ejected?.includes(name) === true }
  const picked = Array.from({ length: 200 }, () => pickEndpoint(of(...names), idle, state, new Set(options.exclude)))
  return [...new Set(picked)].filter((each) => each !== undefined).sort()
}

describe('pickEndpoint', () => {
  type Case = readonly [title: string, names: readonly string[], options: Parameters<typeof reachable>[1], picked: readonly string[]]
  const cases: readonly Case[] = [
    ['reaches every ready endpoint', ['a', 'b', 'c'], {}, ['a', 'b', 'c']],
    ['uses no draining endpoint while one is ready', ['a', 'd1', 'd2'], {}, ['a']],
    ['uses draining endpoints if none is ready', ['d1', 'd2'], {}, ['d1', 'd2']],
    ['gives nothing if there is none', [], {}, []],
    ['leaves out endpoints that were tried', ['a', 'b', 'c'], { exclude: ['a'] }, ['b', 'c']],
    ['tries again if all were tried', ['a', 'b'], { exclude: ['a', 'b'] }, ['a', 'b']],
    ['prefers the only ready endpoint again to a draining one', ['a', 'd1'], { exclude: ['a'] }, ['a']],
    ['leaves out ejected endpoints', ['a', 'b', 'c'], { ejected: ['a', 'c'] }, ['b']],
    ['uses ejected endpoints if all are ejected', ['a', 'b'], { ejected: ['a', 'b'] }, ['a', 'b']],
    ['prefers an ejected endpoint to one that was tried', ['a', 'b'], { exclude: ['a'], ejected: ['b'] }, ['b']],
    ['if all were tried, still leaves out ejected ones', ['a', 'b'], { exclude: ['a', 'b'], ejected: ['a'] }, ['b']],
  ]
  for (const [title, names, options, picked] of cases) it(title, () => assert.deepEqual(reachable(names, options), picked))

  it('never takes the busiest of several', () => {
    const load = (name: string): number => (name === 'b' ? 5 : 1)
    fc.assert(fc.property(fc.integer(), (seed) => assert.notEqual(pickEndpoint(of('a', 'b', 'c'), load, { random: sequence(seed) }), 'b')))
  })

  it('compares two different endpoints, whatever is drawn', () => {
    const value = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(value, value, fc.integer({ min: 2, max: 9 }), (first, second, count) => {
        const compared = new Set<string>()
        const draws = [first, second]
        pickEndpoint(
          of(...Array.from({ length: count }, (_, at) => `e${at}`)),
          (name) => compared.add(name).size,
          { random: () => draws.shift() ?? 0 },
        )
        assert.equal(compared.size, 2)
      }),
    )
  })

  it('keeps loads close together: requests that never end differ by a few', () => {
    const loads = new Map(['a', 'b', 'c', 'e'].map((name) => [name, 0]))
    const random = sequence(7)
    for (let each = 0; each < 4_000; each++) {
      const picked = pickEndpoint(of(...loads.keys()), (name) => loads.get(name) ?? 0, { random }) ?? ''
      loads.set(picked, (loads.get(picked) ?? 0) + 1)
    }
    assert.ok(Math.max(...loads.values()) - Math.min(...loads.values()) <= 10, JSON.stringify([...loads]))
  })
})
