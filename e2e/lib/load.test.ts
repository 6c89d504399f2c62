import assert from 'node:assert/strict'
import { capturedPlace } from './captured.ts'
import { entryOf } from './case.ts'
import { standingPlace } from './place.ts'
import { loadCases } from './load.ts'

describe('the cases of the suite', () => {
  it('have names of their own and do not write each other\'s objects', async () => {
    const cases = await loadCases()
    assert.ok(cases.length > 0)
  })
  it('stay within the namespaces that they have', async () => {
    for (const one of await loadCases()) {
      const { name, place = entryOf(one) === 'captured' ? capturedPlace : standingPlace, manifests } = one
      for (const { kind, metadata } of manifests) {
        assert.ok(metadata.namespace === undefined || metadata.namespace in place, `${name}: ${kind} ${metadata.name} is in ${metadata.namespace ?? ''}`)
      }
    }
  })
  it('say what they are about', async () => {
    for (const { name, features } of await loadCases()) assert.ok(features.length > 0 && name.length > 10, name)
  })
})
