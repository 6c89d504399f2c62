import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { renderGolden } from './testing/golden.ts'

const directory = join(import.meta.dirname, 'testdata')
const inputs = globSync('**/*.in.yaml', { cwd: directory }).sort()

describe('what runs for waypoints', () => {
  it('has golden outputs', () => {
    assert.ok(inputs.length > 3)
    assert.equal(globSync('**/*.out.yaml', { cwd: directory }).length, inputs.length)
  })

  for (const input of inputs) {
    it(input.slice(0, -'.in.yaml'.length), () => {
      const text = readFileSync(join(directory, input), 'utf8')
      assert.match(text, /^# \S/, 'the first line states the rule')
      assert.equal(
        renderGolden(text),
        readFileSync(join(directory, input.replace('.in.yaml', '.out.yaml')), 'utf8'),
        'if the change is meant: node scripts/goldens.ts --update, then read the difference',
      )
    })
  }
})
