import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'

const module = new URL('./pretenuring.ts', import.meta.url).href

/** What V8 says about its decisions while a program allocates literals that survive. */
function decisions(before: string): number {
  const program = `
    import { turnPretenuringOff } from ${JSON.stringify(module)}
    ${before}
    const kept = []
    for (let at = 0; at < 300_000; at++) kept.push({ list: [at], of: { at } })
    console.log('kept ' + kept.length)`
  const said = execFileSync(process.execPath, ['--trace-pretenuring-statistics', '--input-type=module', '--eval', program], { encoding: 'utf8' })
  assert.match(said, /kept 300000/)
  return said.match(/pretenuring: AllocationSite/g)?.length ?? 0
}

describe('turnPretenuringOff', () => {
  it('stops V8 from deciding that literals live long', () => {
    assert.equal(decisions('turnPretenuringOff()'), 0)
  })

  it('is needed: V8 decides so by itself', () => {
    assert.ok(decisions('void turnPretenuringOff') > 0)
  })
})
