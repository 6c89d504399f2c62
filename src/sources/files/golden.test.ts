import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { formatProblem } from '../../api/problem.ts'
import { describeRef } from '../../model/refs.ts'
import { objectsOf, refOf } from '../../api/resources.ts'
import { loadFolder } from './load.ts'

const folder = fileURLToPath(new URL('testdata/', import.meta.url))
const cases = readdirSync(folder)
  .filter((file) => file.endsWith('.in.yaml'))
  .map((file) => file.slice(0, -'.in.yaml'.length))

/** What is said of a manifest, and what of it is in force. */
async function report(name: string): Promise<string> {
  const loaded = await loadFolder(`${folder}${name}.in.yaml`)
  const said = loaded.problems.map((problem) => formatProblem(problem).replaceAll(folder, ''))
  return [...said, ...[...objectsOf(loaded.resources)].map((object) => `in force: ${describeRef(refOf(object))}`), ''].join('\n')
}

describe('manifests that are not right (testdata/*.in.yaml → *.out.txt)', () => {
  it('has a case for each answer', () => {
    assert.ok(cases.length >= 12)
    assert.equal(readdirSync(folder).length, cases.length * 2)
  })

  for (const name of cases) {
    it(name.replaceAll('-', ' '), async () => {
      assert.equal(await report(name), readFileSync(`${folder}${name}.out.txt`, 'utf8'))
    })
  }
})
