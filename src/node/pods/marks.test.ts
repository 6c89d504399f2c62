import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { keepMarks } from './marks.ts'

describe('marks', () => {
  let root: string
  let directory: string
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'marks-'))
    directory = join(root, 'marks')
  })
  afterEach(() => rmSync(root, { recursive: true }))

  it('are the same for a sandbox, also to an agent that comes later, and others for others', () => {
    const first = keepMarks(directory)
    const marks = ['a', 'b', 'c'].map(first.of)
    assert.equal(new Set(marks).size, 3)
    assert.deepEqual(['a', 'b', 'c'].map(first.of), marks)
    assert.deepEqual(['a', 'b', 'c'].map(keepMarks(directory).of), marks)
    assert.ok(marks.every((mark) => mark > 0xffff && mark <= 0xffffffff))
  })

  it('are agreed on by two agents that make one at the same time', () => {
    const [one, two] = [keepMarks(directory), keepMarks(directory)]
    assert.equal(one.of('a'), two.of('a'))
    assert.deepEqual(readdirSync(directory), ['a'])
  })

  it('are in files that only their owner reads', () => {
    keepMarks(directory).of('a')
    assert.equal(statSync(directory).mode & 0o777, 0o700)
    assert.equal(statSync(join(directory, 'a')).mode & 0o777, 0o600)
  })

  it('are made anew where a file holds none', () => {
    keepMarks(directory)
    for (const text of ['', '0\n', '7\n', '99999999999\n', 'x', '4294967296\n', '123456']) {
      writeFileSync(join(directory, 'a'), text)
      const mark = keepMarks(directory).of('a')
      assert.equal(readFileSync(join(directory, 'a'), 'utf8'), `${mark}\n`)
    }
  })

  it('are dropped with their sandboxes', () => {
    const marks = keepMarks(directory)
    const [a, b] = [marks.of('a'), marks.of('b')]
    marks.keepOnly(['b', 'd'])
    assert.deepEqual(readdirSync(directory), ['b'])
    assert.equal(marks.of('b'), b)
    assert.notEqual(marks.of('a'), a)
  })

  it('are of nothing that leads elsewhere', () => {
    const marks = keepMarks(directory)
    for (const name of ['', '.', '..', '../a', 'a/b', '.a']) assert.throws(() => marks.of(name), TypeError)
  })
})
