import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { goldenCases, goldenFolder } from './testing/goldens.ts'
import { runInProcess } from './testing/command.ts'

describe('what the command prints', () => {
  for (const { file, args } of goldenCases) {
    it(`is ${file} for: ${args.join(' ')}`, async () => {
      const { out } = await runInProcess(...args)
      assert.equal(out, readFileSync(new URL(file, goldenFolder), 'utf8'), 'if that is meant: node src/cli/testing/goldens.ts, and read the difference')
    })
  }

  it('is said by no golden file that no case prints', () => {
    assert.deepEqual(readdirSync(goldenFolder).sort(), goldenCases.map(({ file }) => file).sort())
  })
})
