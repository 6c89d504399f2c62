import assert from 'node:assert/strict'
import { nodeProblem } from './node-version.ts'

describe('nodeProblem', () => {
  it('lets the data plane run on Node 24 and later', () => {
    for (const version of ['24.0.0', '24.21.0', '26.10.0', '100.0.0']) assert.equal(nodeProblem(version), undefined)
  })
  it('refuses older ones and says what to do', () => {
    for (const version of ['22.19.0', '20.20.2']) assert.match(nodeProblem(version) ?? '', /Node 2[02].*use Node 24 or later.*npm run waymark/)
  })
})
