import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { goldenFolder, goldens } from './testing/goldens.ts'
import { podTable } from './pod.ts'
import { probeTable } from './probes.ts'
import { batch, replaceTable, tableText } from './table.ts'

describe('rules', () => {
  for (const { file, render } of goldens) {
    it(`are those of ${file}`, () => {
      assert.equal(render(), readFileSync(new URL(file, goldenFolder), 'utf8'), 'if that is meant: node src/node/rules/testing/goldens.ts, and read the difference')
    })
  }

  it('are the same whatever order addresses come in', () => {
    const addresses = ['10.0.0.9', '10.0.0.10', 'fd00::9', 'fd00::10']
    assert.equal(tableText(probeTable(addresses)), tableText(probeTable([...addresses].reverse())))
  })

  it('hold thousands of addresses, in messages that the kernel takes', () => {
    const messages = replaceTable(probeTable(Array.from({ length: 2_500 }, (_, index) => `10.${index >> 8}.${index & 0xff}.7`)))
    assert.equal(messages.filter((message) => message.about.startsWith('add elements')).length, 3)
    assert.ok(messages.every((message) => message.body.length < 64 * 1024))
  })

  it('replace what is there in one batch, also if nothing is', () => {
    const abouts = batch(replaceTable(podTable(7))).map((message) => message.about)
    assert.deepEqual([...abouts.slice(0, 4), abouts.at(-1)], ['batch', 'add table waymark', 'delete table waymark', 'add table waymark', 'batch'])
  })

  it('write a mark that has the sign bit as a number without one', () => {
    assert.match(tableText(podTable(0xffff_fffe)), /meta mark 0xfffffffe accept/)
  })
})
