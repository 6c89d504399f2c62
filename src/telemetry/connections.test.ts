import assert from 'node:assert/strict'
import { ConnectionCounters, connectionTelemetry, registerConnections } from './connection-counters.ts'
import { connectionLogLine, unknownEnd, workloadName, type ConnectionRecord } from './connections.ts'
import { createMetrics } from './metrics.ts'

const record = (more: Partial<ConnectionRecord> = {}): ConnectionRecord => ({
  startMs: 0, direction: 'outbound', source: { namespace: 'shop', workload: 'till', pod: 'till-1', id: 's', address: '10.1.0.1:5' }, destination: unknownEnd('10.96.0.1:80'),
  service: 'books/reviews', via: 'endpoint', peer: '10.1.0.2:80', transport: 'mtls', tries: 1, outcome: 'allowed', reason: undefined, policy: '', audit: [],
  detail: '', bytesIn: 10, bytesOut: 20, ended: 'clean', counted: undefined, ...more,
})

describe('workloadName', () => {
  for (const [pod, name] of [
    ['till-7c9d5b5f4d-x2x4z', 'till'], ['node-exporter-x2x4z', 'node-exporter'], ['db-0', 'db'], ['till', 'till'], ['my-till', 'my-till'], ['a-7c9d5b5f4d-x2x4z-b', 'a-7c9d5b5f4d-x2x4z-b'],
  ] as const) {
    it(`of ${pod} is ${name}`, () => assert.equal(workloadName(pod), name))
  }
})

describe('connections in metrics', () => {
  it('are counted with their bytes and their time, by both ends', async () => {
    const [one, other] = [new ConnectionCounters(), new ConnectionCounters()]
    const metrics = createMetrics(() => 0)
    registerConnections(metrics, () => [one.counts(), other.counts()])
    one.connectionDone(record(), 20)
    one.connectionDone(record({ outcome: 'refused', reason: 'no-waypoint', transport: '', ended: '', bytesIn: 0, bytesOut: 0 }), 1)
    other.connectionDone(record({ audit: ['books/watch'] }), 400)
    const text = await metrics.render()
    const ends = 'direction="outbound",destination_namespace="",destination_workload="",service="books/reviews"'
    const source = 'source_namespace="shop",source_workload="till"'
    for (const line of [
      `waymark_agent_connections_total{${ends},transport="mtls",outcome="allowed",reason="",${source}} 2`,
      `waymark_agent_connections_total{${ends},transport="",outcome="refused",reason="no-waypoint",${source}} 1`,
      `waymark_agent_received_bytes_total{${ends},transport="mtls",outcome="allowed",reason="",${source}} 20`,
      `waymark_agent_sent_bytes_total{${ends},transport="mtls",outcome="allowed",reason="",${source}} 40`,
      'waymark_agent_audited_connections_total{direction="outbound",policy="books/watch"} 1',
      `waymark_agent_connection_duration_seconds_bucket{${ends},le="0.025"} 1`,
      `waymark_agent_connection_duration_seconds_bucket{${ends},le="+Inf"} 2`,
      `waymark_agent_connection_duration_seconds_sum{${ends}} 0.42`,
    ]) assert.ok(text.includes(line), `${line}\nis not in\n${text}`)
  })

  it('have their bytes counted while they live, and each only once', () => {
    const counters = new ConnectionCounters()
    const one = record({ bytesIn: 0, bytesOut: 0, ended: '' })
    let passed = [0, 0]
    const refresh = (): void => {
      const [bytesIn = 0, bytesOut = 0] = passed
      Object.assign(one, { bytesIn, bytesOut })
    }
    counters.connectionOpened(one, refresh)
    const counted = (): readonly number[] => [...counters.counts().series.values()].flatMap(({ slots }) => [...slots])
    passed = [5, 70]
    assert.deepEqual(counted(), [0, 5, 70])
    passed = [6, 80]
    assert.deepEqual(counted(), [0, 6, 80])
    passed = [7, 90]
    refresh()
    counters.connectionDone(one, 1)
    assert.deepEqual(counted(), [1, 7, 90])
  })

  it('keep a bounded number of label sets, whoever knocks', () => {
    const counters = new ConnectionCounters()
    for (let at = 0; at < 5_000; at++) counters.connectionDone(record({ source: { ...unknownEnd(''), workload: `w${at}` }, service: `s/${at}` }), 1)
    const { series, timings } = counters.counts()
    assert.deepEqual([series.size, timings.size], [2_001, 2_001])
    assert.equal(series.get('other|outbound')?.slots[0], 3_000)
    assert.equal(series.get('other|outbound')?.labels['source_workload'], 'other')
  })
})

describe('the log of connections', () => {
  it('has a line for each, without what means nothing for it', () => {
    const lines: string[] = []
    const telemetry = connectionTelemetry('n1', new ConnectionCounters(), { log: (line) => lines.push(line) > 0 })
    telemetry.connectionDone(record(), 1.23456)
    assert.deepEqual(JSON.parse(lines[0] ?? ''), {
      time: '1970-01-01T00:00:00.000Z', node: 'n1', direction: 'outbound', outcome: 'allowed', transport: 'mtls', via: 'endpoint', source: 'shop/till-1',
      source_address: '10.1.0.1:5', source_id: 's', destination_address: '10.96.0.1:80', service: 'books/reviews', peer: '10.1.0.2:80', tries: 1, ended: 'clean',
      duration_ms: 1.235, bytes_in: 10, bytes_out: 20,
    })
  })

  it('tells why one was refused, and by which policy', () => {
    const line = JSON.parse(connectionLogLine('', record({ outcome: 'denied', reason: 'denied', policy: 'books/only-till', detail: 'd', ended: '' }), 0)) as Record<string, unknown>
    assert.deepEqual([line['outcome'], line['reason'], line['policy'], line['detail'], line['ended']], ['denied', 'denied', 'books/only-till', 'd', undefined])
  })
})
