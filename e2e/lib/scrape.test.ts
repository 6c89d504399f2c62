import assert from 'node:assert/strict'
import { parseMetrics, sumOf } from './scrape.ts'

describe('metrics as the suite reads them', () => {
  it('have names, labels with quotes in them, and values', () => {
    const samples = parseMetrics('# HELP a_total x\n# TYPE a_total counter\na_total{route="HTTPRoute a/b",code="200"} 3\na_total{route="say \\"hi\\"",code="200"} 4\nb 1.5\n')
    assert.equal(samples.length, 3)
    assert.equal(sumOf(samples, 'a_total', { code: '200' }), 7)
    assert.equal(sumOf(samples, 'a_total', { route: 'HTTPRoute a/b' }), 3)
    assert.equal(sumOf(samples, 'b'), 1.5)
  })
})
