import assert from 'node:assert/strict'
import fc from 'fast-check'
import { reasons } from '../../src/model/reasons.ts'
import type { ReasonCode } from '../../src/model/reasons.ts'
import { grpcAnswer, localAnswerHeaders } from './answer.ts'
import { decodeGrpcMessage, encodeGrpcMessage, grpcStatusOf, grpcStatusOfHttp, headerValue, httpStatusOfGrpc, isGrpc } from './status.ts'
import { formatGrpcTimeout, grpcTimeoutMs, parseGrpcTimeout } from './timeout.ts'

describe('gRPC', () => {
  it('is told by its content-type, not by one that only starts alike', () => {
    for (const yes of ['application/grpc', 'application/grpc+proto', 'application/grpc+json', 'application/grpc;charset=utf-8', 'Application/GRPC']) {
      assert.equal(isGrpc(['a', 'b', 'content-type', yes]), true, yes)
    }
    for (const no of ['application/grpc-web', 'application/grpc-web+proto', 'application/grpcx', 'application/json', 'text/application/grpc', '']) {
      assert.equal(isGrpc(['content-type', no]), false, no)
    }
    assert.equal(isGrpc(['x-type', 'application/grpc']), false)
    assert.equal(isGrpc(['x', 'content-type', 'y', 'application/grpc']), false)
  })

  it('maps HTTP statuses as grpc/doc/http-grpc-status-mapping.md says', () => {
    const table: readonly (readonly [number, number])[] = [[400, 13], [401, 16], [403, 7], [404, 12], [429, 14], [502, 14], [503, 14], [504, 14], [500, 2], [200, 2], [418, 2]]
    for (const [http, grpc] of table) assert.equal(grpcStatusOfHttp(http), grpc, String(http))
  })

  it('maps gRPC statuses to HTTP as code.proto says', () => {
    const table: readonly (readonly [number, number])[] = [[0, 200], [1, 499], [3, 400], [4, 504], [5, 404], [7, 403], [8, 429], [12, 501], [13, 500], [14, 503], [16, 401], [99, 500]]
    for (const [grpc, http] of table) assert.equal(httpStatusOfGrpc(grpc), http, String(grpc))
  })

  it('reads grpc-status only if it is a number', () => {
    assert.equal(grpcStatusOf(['grpc-status', '14']), 14)
    assert.equal(grpcStatusOf(['grpc-status', '-1']), undefined)
    assert.equal(grpcStatusOf(['grpc-status', '']), undefined)
    assert.equal(grpcStatusOf([]), undefined)
  })

  it('keeps any message through percent-encoding, in printable ASCII', () => {
    assert.equal(encodeGrpcMessage('no such user'), 'no such user')
    assert.equal(encodeGrpcMessage('100 %\nü'), '100 %25%0A%C3%BC')
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const encoded = encodeGrpcMessage(text)
        assert.match(encoded, /^[ -~]*$/)
        assert.equal(decodeGrpcMessage(encoded), text)
      }),
    )
  })

  it('keeps what is not valid percent-encoding', () => {
    assert.equal(decodeGrpcMessage('50% of %zz%4'), '50% of %zz%4')
  })
})

describe('grpc-timeout', () => {
  it('is read in each unit, rounded up to milliseconds', () => {
    const table: readonly (readonly [string, number])[] = [['1H', 3_600_000], ['2M', 120_000], ['3S', 3000], ['4m', 4], ['5u', 1], ['1500u', 2], ['2000000n', 2], ['1n', 1]]
    for (const [value, ms] of table) assert.equal(parseGrpcTimeout(value), ms, value)
  })

  it('of 0 is a deadline that has passed, not "off"', () => {
    assert.equal(parseGrpcTimeout('0S'), 1)
  })

  it('never exceeds what a timer takes', () => {
    assert.equal(parseGrpcTimeout('99999999H'), 2 ** 31 - 1)
  })

  it('is ignored if malformed', () => {
    for (const bad of ['', '1', 'S', '-1S', '1.5S', '1s', '123456789m', '1 S', ' 1S', '1S ', '0x1S']) assert.equal(parseGrpcTimeout(bad), undefined, bad)
    assert.equal(grpcTimeoutMs([]), undefined)
    assert.equal(grpcTimeoutMs(['grpc-timeout', '250m']), 250)
  })

  it('is written so that reading it never gives less', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (ms) => {
        const text = formatGrpcTimeout(ms)
        assert.match(text, /^\d{1,8}[HMSmun]$/)
        assert.ok((parseGrpcTimeout(text) ?? 0) >= Math.min(ms, 2 ** 31 - 1), text)
      }),
    )
    assert.equal(formatGrpcTimeout(0), '1m')
    assert.equal(formatGrpcTimeout(99_999_999), '99999999m')
    assert.equal(formatGrpcTimeout(100_000_000), '100000S')
    assert.equal(formatGrpcTimeout(1e30), '99999999H')
  })
})

describe('a local answer to a gRPC caller', () => {
  it('is HTTP 200 with the reason table\'s gRPC status, for every reason', () => {
    for (const code of Object.keys(reasons) as ReasonCode[]) {
      const answer = grpcAnswer(code, 'because')
      assert.equal(answer.status, 200)
      assert.equal(headerValue(answer.headers, 'content-type'), 'application/grpc')
      assert.equal(headerValue(answer.headers, 'grpc-status'), String(reasons[code].grpcStatus))
      assert.equal(headerValue(answer.headers, 'x-waypoint-reason'), code)
      assert.equal(decodeGrpcMessage(headerValue(answer.headers, 'grpc-message') ?? ''), `${reasons[code].message}: because`)
    }
  })

  it('has the bare message without a detail', () => {
    assert.equal(headerValue(localAnswerHeaders('no-route'), 'grpc-message'), reasons['no-route'].message)
  })
})
