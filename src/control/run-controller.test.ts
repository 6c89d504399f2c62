import assert from 'node:assert/strict'
import { startApiServer, type ApiServer } from '../../test/simulated/api-server.ts'
import { runController, type RunControllerOptions } from './run-controller.ts'
import { until } from './testing/world.ts'

describe('the controller\'s process', () => {
  let server: ApiServer
  beforeEach(async () => {
    server = await startApiServer()
  })
  afterEach(() => server.close())

  const options = (log: string[], changes: Partial<RunControllerOptions> = {}): RunControllerOptions => ({
    kubeConfig: () => server.kubeConfig(), pod: 'controller-0',
    installation: { namespace: 'waymark-system', image: 'waymark:test', imagePullPolicy: 'Never', imagePullSecrets: [], trustDomain: 'cluster.local', accessLog: 'none' },
    svidLifetimeMs: 3_600_000, host: '127.0.0.1', controlPort: 0, readyPort: 0, metricsPort: 0, stopped: new Promise(() => {}), log: (line) => log.push(line), ...changes,
  })

  it('waits for an API server that does not serve it yet, however often it must ask', async () => {
    const log: string[] = []
    let asked = 0
    const end = server.fault({ on: ({ path }) => path.includes('/secrets') && ++asked > 0, status: 503 })
    const starting = runController(options(log))
    await until('it has tried again', () => asked >= 2 || log.length >= 2)
    end()
    const running = await starting
    assert.ok(running !== undefined)
    await running.close()
    assert.match(log[0] ?? '', /trying again/)
  })

  it('gives up at once when it is stopped while it waits', async () => {
    server.fault({ on: () => true, status: 503 })
    let stop = (): void => {}
    const log: string[] = []
    const starting = runController(options(log, { stopped: new Promise((resolve) => (stop = resolve)) }))
    await until('it waits', () => log.length > 0)
    stop()
    assert.equal(await starting, undefined)
  })

  it('tells in the Gateway\'s status that its namespace\'s configuration is too large to be sent, and how to make it smaller', async () => {
    server.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } })
    server.put({
      apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', metadata: { name: 'waypoint', namespace: 'shop', uid: 'u', generation: 1 },
      spec: { gatewayClassName: 'waypoint', listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }] },
    })
    for (let at = 0; at < 60; at++) {
      server.put({ apiVersion: 'v1', kind: 'Service', metadata: { name: `s${at}`, namespace: 'shop' }, spec: { clusterIP: `10.0.0.${at + 1}`, ports: [{ name: 'http', port: 80 }] } })
    }
    // As much as a route may have.
    const matches = Array.from({ length: 64 }, (_, at) => ({ path: { type: 'PathPrefix', value: `/${'x'.repeat(400)}/${at}` } }))
    server.put({
      apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: { name: 'r', namespace: 'shop', uid: 'r', generation: 1 },
      spec: { parentRefs: [{ name: 'waypoint' }], rules: Array.from({ length: 16 }, () => ({ matches, backendRefs: [{ name: 's0', port: 80 }] })) },
    })
    const running = await runController(options([]))
    assert.ok(running !== undefined)
    try {
      const told = (): string => JSON.stringify(server.get({ kind: 'Gateway', namespace: 'shop', name: 'waypoint' })?.['status'] ?? '')
      await until('the Gateway says so', () => told().includes('the configuration of namespace shop has'))
      assert.match(told(), /more than the 24 MiB that a waypoint takes/)
      assert.ok(running.troubles().some((line) => line.includes('more than the 24 MiB')))
    } finally {
      await running.close()
    }
  })
})
