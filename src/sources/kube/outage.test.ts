import assert from 'node:assert/strict'
import { startApiServer, type ApiServer } from '../../../test/simulated/api-server.ts'
import type { Clock } from '../../kit/clock.ts'
import { fakeClock } from '../../kit/testing/fake-clock.ts'
import { createKubeClient } from '../../kube/client.ts'
import { listWatch } from './list-watch.ts'
import type { RestartReason } from './observer.ts'
import { until } from './testing/until.ts'

describe('an API server that is away for a while', function () {
  this.timeout(60_000)
  const restarted = async (port: number, objects: number): Promise<ApiServer> => {
    const server = await startApiServer({ port })
    // As with a real one its objects and their versions are still there.
    for (let at = 0; at < objects; at++) server.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: `shop-${at}` } })
    return server
  }

  /** Lets time pass only while nothing is on its way, so that the machine's speed does not count. @returns milliseconds from its return until its next change is seen, at worst */
  const recovery = async (awayMs: number, onReturn: (server: ApiServer) => void = () => {}): Promise<number> => {
    let server = await restarted(0, 1)
    const { port } = server
    const client = createKubeClient(() => server.kubeConfig())
    const time = fakeClock()
    const pauses: number[] = []
    const clock: Clock = {
      now: time.now,
      after: (delayMs, task) => {
        // The others are those that guard requests.
        if (delayMs < 60_000) pauses.push(delayMs)
        return time.after(delayMs, task)
      },
    }
    const reasons: RestartReason[] = []
    const follow = listWatch({
      client, clock, random: () => 0.999_999, kind: 'Namespace', apiVersion: 'v1', path: '/api/v1/namespaces',
      observer: { restart: (_, reason) => reasons.push(reason) }, onChanges: () => {},
    })
    let passed = 0
    const pass = async (isOver: () => boolean): Promise<void> => {
      await until('the next try', () => isOver() || pauses.length > passed)
      if (!isOver()) time.advance(pauses[passed++] ?? 0)
    }
    try {
      await until('the list', () => follow.synced() && server.watches.count() === 1)
      await server.close()
      const closedMs = time.now()
      while (time.now() - closedMs < awayMs) await pass(() => false)
      await until('a try that fails', () => pauses.length > passed)
      assert.deepEqual(new Set(reasons), new Set(['cut']))
      server = await restarted(port, 2)
      onReturn(server)
      const backMs = time.now()
      while (!follow.objects.has('/shop-1')) await pass(() => follow.objects.has('/shop-1'))
      return time.now() - backMs
    } finally {
      follow.close()
      client.close()
      await server.close()
    }
  }

  for (const seconds of [3, 30]) {
    it(`is found again within 2 s after ${seconds} s`, async () => {
      const tookMs = await recovery(seconds * 1000)
      assert.ok(tookMs <= 2000, `${tookMs} ms`)
    })
  }

  it('is found again within 5 s after five minutes', async () => {
    const tookMs = await recovery(300_000)
    assert.ok(tookMs <= 5000, `${tookMs} ms`)
  })

  it('may refuse first what it will allow when it has read who may do what', async () => {
    const tookMs = await recovery(300_000, (server) => server.fault({ on: () => true, status: 403, times: 2 }))
    assert.ok(tookMs <= 8000, `${tookMs} ms`)
  })
})
