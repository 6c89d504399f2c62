import assert from 'node:assert/strict'
import { callerOf, requestHeaders } from './forwarded.ts'

const caller = callerOf({ trustDomain: 'td', namespace: 'shop', serviceAccount: 'till' }, 'spiffe://td/ns/shop/sa/till', 'spiffe://td/ns/books/sa/waypoint')

describe('requestHeaders', () => {
  for (const name of ['x-forwarded-client-cert', 'x_forwarded_client_cert', 'x-forwarded_client-cert', 'x-waypoint-reason', 'x_waypoint_reason', 'x-waypoint_x']) {
    it(`takes ${name} off what a workload sends, for servers that read _ as - too`, () => {
      assert.deepEqual(requestHeaders(['a', '1', name, 'forged', 'b', '2'], caller), [
        'a', '1', 'b', '2', 'x-forwarded-client-cert', 'By=spiffe://td/ns/books/sa/waypoint;URI=spiffe://td/ns/shop/sa/till',
      ])
    })
  }
  it('leaves other names alone', () => {
    assert.deepEqual(requestHeaders(['x_request_id', '1', 'x-waypoints', '2'], caller).slice(0, 4), ['x_request_id', '1', 'x-waypoints', '2'])
  })
})
