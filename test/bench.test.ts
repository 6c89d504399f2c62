import assert from 'node:assert/strict'
import { sectionOf, withSection } from '../bench/section.ts'
import { formatSpread, markdownTable, ratioOf, spreadOf } from '../bench/table.ts'

describe('the tables of the benchmark', () => {
  it('take the middle value, or the middle of the two middle ones', () => {
    assert.deepEqual(spreadOf([10, 9, 100]), { median: 10, min: 9, max: 100 })
    assert.deepEqual(spreadOf([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 })
    assert.throws(() => spreadOf([]), /no values/)
  })

  it('compare round by round, so that a disturbed round weighs once', () => {
    assert.deepEqual(ratioOf([2, 40, 6], [1, 20, 2]), { median: 2, min: 2, max: 3 })
  })

  it('are Markdown', () => {
    assert.equal(markdownTable(['a', 'b'], [['x', formatSpread({ median: 1.26, min: 1, max: 2 }, 1)]]), '| a | b |\n| --- | ---: |\n| x | 1.3 (1.0–2.0) |')
  })

  it('keep sections that are measured apart when the others are measured anew, and the other way round', () => {
    const heading = '## Apart'
    const section = `${heading}\n\nfast\n`
    const both = withSection('# Results\n\n## One\n\ntext\n', heading, section)
    assert.equal(both, `# Results\n\n## One\n\ntext\n\n${section}`)
    assert.equal(withSection(both, heading, `${heading}\n\nslow\n`), both.replace('fast', 'slow'))
    assert.equal(withSection('# New\n', heading, sectionOf(both, heading)), `# New\n\n${section}`)
    assert.equal(withSection(`# A\n\n${section}\n## B\n`, heading, `${heading}\n\nslow\n`), `# A\n\n${heading}\n\nslow\n\n## B\n`)
    assert.equal(withSection('# New\n', heading, ''), '# New\n')
  })
})
