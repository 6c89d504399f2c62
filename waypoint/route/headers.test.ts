import assert from 'node:assert/strict'
import { addHeader, headerValue, removeHeader, setHeader } from './headers.ts'

describe('header lists', () => {
  it('read a repeated header as one value, in order', () => {
    const headers = ['a', '1', 'b', '2', 'a', '3', 'cookie', 'x=1', 'cookie', 'y=2']
    assert.equal(headerValue(headers, 'a'), '1,3')
    assert.equal(headerValue(headers, 'b'), '2')
    assert.equal(headerValue(headers, 'cookie'), 'x=1; y=2')
    assert.equal(headerValue(headers, '1'), undefined)
  })

  type Edit = readonly [title: string, edit: (headers: string[]) => void, before: readonly string[], after: readonly string[]]
  const edits: readonly Edit[] = [
    ['set adds an absent header', (each) => setHeader(each, 'a', 'x'), ['b', '1'], ['b', '1', 'a', 'x']],
    [
      'set replaces every line, in the place of the first',
      (each) => setHeader(each, 'a', 'x'),
      ['z', '0', 'a', '1', 'b', '2', 'a', '3', 'c', '4'],
      ['z', '0', 'a', 'x', 'b', '2', 'c', '4'],
    ],
    ['add appends with a comma and no space', (each) => addHeader(each, 'a', 'x'), ['a', '1', 'b', '2'], ['a', '1,x', 'b', '2']],
    [
      'add appends to the last line, so that the order of values stays',
      (each) => addHeader(each, 'a', 'x'),
      ['a', '1', 'a', '2', 'b', '3'],
      ['a', '1', 'a', '2,x', 'b', '3'],
    ],
    ['add adds an absent header', (each) => addHeader(each, 'a', 'x'), [], ['a', 'x']],
    ['add fills an empty header without a comma', (each) => addHeader(each, 'a', 'x'), ['a', ''], ['a', 'x']],
    [
      'add gives set-cookie a line of its own',
      (each) => addHeader(each, 'set-cookie', 'b=2'),
      ['set-cookie', 'a=1'],
      ['set-cookie', 'a=1', 'set-cookie', 'b=2'],
    ],
    ['add appends a cookie with a semicolon', (each) => addHeader(each, 'cookie', 'b=2'), ['cookie', 'a=1'], ['cookie', 'a=1; b=2']],
    ['remove deletes every line', (each) => removeHeader(each, 'a'), ['a', '1', 'b', 'a', 'a', '3'], ['b', 'a']],
    ['remove of an absent header changes nothing', (each) => removeHeader(each, 'x'), ['a', 'x'], ['a', 'x']],
  ]
  for (const [title, edit, before, after] of edits) {
    it(title, () => {
      const headers = [...before]
      edit(headers)
      assert.deepEqual(headers, after)
    })
  }
})
