import assert from 'node:assert/strict'
import { probePages } from './server.ts'

describe('the pages of probes', () => {
  const said = (name: string): { readonly name: string; readonly why: string } => ({ name, why: 'so it is' })

  it('say ready with 200, also if there is something to be noted, and then what', () => {
    const [plain, noted] = [probePages(() => []), probePages(() => [], () => [said('CRDs')])].map((pages) => pages['/readyz']?.())
    assert.deepEqual([plain?.status, plain?.body], [200, 'ready\n'])
    assert.deepEqual([noted?.status, noted?.body], [200, 'ready\nnote: CRDs: so it is\n'])
  })

  it('name what is pending with 503, before what is to be noted', () => {
    const page = probePages(() => [said('configuration')], () => [said('CRDs')])['/readyz']?.()
    assert.deepEqual([page?.status, page?.body], [503, 'configuration: so it is\nnote: CRDs: so it is\n'])
  })
})
