import assert from 'node:assert/strict'
import type { LoadResult } from '../app/protocol.ts'
import type { Load } from './client.ts'
import { withoutFailure } from './steady.ts'

const good: LoadResult = { sent: 3, statuses: { 200: 3 }, pods: {}, failures: [], failed: 0, resent: 0, latency: { p50: 1, p90: 1, p99: 1, max: 1 }, lastedMs: 30 }

/** A client whose load ends as told. */
function client(done: Promise<LoadResult>, stopped: LoadResult): { readonly load: () => Promise<Load> } {
  done.catch(() => {})
  return { load: () => Promise.resolve({ done, stop: () => Promise.resolve(stopped) }) }
}
const options = { url: 'http://echo/', quietMs: 0 }
const endless = new Promise<never>(() => {})

describe('a steady load', () => {
  it('gives what the work gave, if no request failed', async () => {
    const { result, told } = await withoutFailure('work', client(endless, good), options, () => Promise.resolve('done'))
    assert.equal(result, 'done')
    assert.match(told, /^work: 3 requests, 0 failed/)
  })
  it('fails with the first failures if there is one', async () => {
    const bad = { ...good, failed: 1, failures: [{ atMs: 5, status: 503, reason: 'no-endpoint' }] }
    await assert.rejects(withoutFailure('work', client(endless, bad), options, () => Promise.resolve()), /1 failed .*no-endpoint/)
  })
  it('fails at once if the load ends before the work does, with its driver or by itself', async () => {
    await assert.rejects(withoutFailure('work', client(Promise.reject(new Error('the driver is gone')), good), options, () => endless), /the driver is gone/)
    await assert.rejects(withoutFailure('work', client(Promise.resolve(good), good), options, () => endless), /ended before the work did/)
  })
  it('says what the load met if the work fails', async () => {
    await assert.rejects(withoutFailure('work', client(endless, good), options, () => Promise.reject(new Error('no luck'))), /no luck; meanwhile: work: 3 requests/)
  })
})
