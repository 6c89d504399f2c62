import assert from 'node:assert/strict'
import { capturedPlace } from './captured.ts'
import type { Case, Place } from './case.ts'
import { chains } from './runner.ts'

const own: Place = { own: {} }
const one = (name: string, place?: Place): Case => ({ name, features: ['x'], manifests: [], run: () => Promise.resolve(), ...(place === undefined ? {} : { place }) })

describe('cases that run several at a time', () => {
  it('follow each other where they hand a place of their own on, and nowhere else', () => {
    const made = chains([one('a', own), one('b'), one('c', capturedPlace), one('d', own), one('e', { own: {} }), one('f')])
    assert.deepEqual(made.map((chain) => chain.map(({ name }) => name)), [['a', 'd'], ['b'], ['c'], ['e'], ['f']])
  })
})
