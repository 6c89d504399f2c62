import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { reasons } from '../model/reasons.ts'
import { generated, outdated, regenerate } from '../../scripts/generate.ts'

describe('generated pages', () => {
  it('say what the code says now', () => {
    assert.deepEqual(outdated('.'), [], 'run `npm run generate` and commit the pages')
  })

  it('are found out of date by name, and written anew', () => {
    const root = mkdtempSync(join(tmpdir(), 'waymark-docs-'))
    try {
      assert.deepEqual(regenerate(root), generated.map(({ path }) => path))
      assert.deepEqual(outdated(root), [])
      appendFileSync(join(root, 'docs/errors.md'), 'by hand\n')
      assert.deepEqual(outdated(root), ['docs/errors.md'])
      assert.deepEqual(regenerate(root), ['docs/errors.md'])
    } finally {
      rmSync(root, { recursive: true })
    }
  })

  it('list every reason with its statuses, and keep their tables whole', () => {
    const page = generated.find(({ path }) => path === 'docs/errors.md')?.content() ?? ''
    for (const code of Object.keys(reasons)) assert.match(page.split('\n').find((line) => line.startsWith(`| \`${code}\` | `)) ?? '', /^\| \S+ \| \d+ \| \d+ [A-Z_]+ \| (yes|no) \|/)
    for (const line of page.split('\n').filter((each) => /^\| `.*\d+ [A-Z_]+ \|/.test(each))) assert.equal(line.replaceAll('\\|', '').split('|').length, 8, line)
  })
})
