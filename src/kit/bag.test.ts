import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Bag } from './bag.ts'

describe('a bag', () => {
  it('holds what was put in and not taken out, whatever the order', () => {
    fc.assert(fc.property(fc.array(fc.nat({ max: 20 }), { maxLength: 200 }), (steps) => {
      const bag = new Bag<number>()
      const present: { readonly item: number; readonly remove: () => boolean }[] = []
      for (const [item, step] of steps.entries()) {
        const [gone] = present.splice(step, 1)
        if (gone === undefined) {
          present.push({ item, remove: bag.add(item) })
        } else {
          assert.equal(gone.remove(), true)
          assert.equal(gone.remove(), false)
        }
        assert.equal(bag.size, present.length)
        assert.deepEqual([...bag].sort((a, b) => a - b), present.map((each) => each.item).sort((a, b) => a - b))
      }
    }))
  })

  it('takes the same item twice', () => {
    const bag = new Bag<string>()
    const [first, second] = [bag.add('a'), bag.add('a')]
    first()
    assert.deepEqual([...bag], ['a'])
    second()
    assert.equal(bag.size, 0)
  })

  it('may change while it is gone through: each member of the beginning is met once', () => {
    const bag = new Bag<number>()
    const removes = [1, 2, 3, 4].map((each) => bag.add(each))
    const met: number[] = []
    for (const each of bag) {
      met.push(each)
      for (const remove of removes) remove()
      bag.add(10 + each)
    }
    assert.deepEqual(met, [1, 2, 3, 4])
    assert.deepEqual([...bag], [11, 12, 13, 14])
  })
})
