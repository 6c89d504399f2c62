import assert from 'node:assert/strict'
import { endToEndHeaders } from './headers.ts'

describe('endToEndHeaders', () => {
  it('drops what belongs to one connection, what Connection names, and claims of identity in any spelling', () => {
    assert.deepEqual(
      endToEndHeaders([
        'Host', 'h', 'Connection', 'close, X-Hop', 'x-hop', '1', 'Keep-Alive', '5', 'TE', 'gzip', 'Upgrade', 'x', 'Proxy-Connection', 'y', 'X-Kept', 'Value',
        'X-Forwarded-Client-Cert', 'forged', 'X_Forwarded_Client_Cert', 'forged',
      ]),
      ['Host', 'h', 'X-Kept', 'Value'],
    )
  })
})
