import { systemClock } from '../../src/kit/clock.ts'
import type { Credentials } from '../../src/model/credentials.ts'
import type { Snapshot } from '../../src/model/snapshot.ts'
import { slice } from '../../src/publish/slice.ts'
import { createTelemetry } from '../../src/telemetry/create.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { translate } from '../../src/translate/translate.ts'
import { fixed, trustDomain } from '../certificates.ts'
import { runScript } from '../children.ts'
import { namespace, resourcesOf, waypointName, type Shape } from '../manifests.ts'

export interface WaymarkOptions {
  readonly credentials: Credentials
  readonly shape: Shape
  readonly backendPort: number
  /** Threads that serve; 1 if not given: the one there is. */
  readonly workers?: number
}

// A waypoint as it runs in a mesh: metrics on, access log and tracing off.
runScript<WaymarkOptions>(async ({ credentials, shape, backendPort, workers = 1 }) => {
  const snapshotFor = (port: number): Snapshot => {
    const waypointAddresses = new Map([[`${namespace}/${waypointName}`, [{ host: '127.0.0.1', port }]]])
    const { snapshot, warnings } = translate(resourcesOf(shape, backendPort), { trustDomain, waypointAddresses })
    if (warnings.length > 0) throw new Error(`the manifests of the benchmark give warnings: ${JSON.stringify(warnings.slice(0, 3))}`)
    return slice(snapshot, { kind: 'waypoint', namespace })
  }
  const given = { namespace, name: waypointName, credentials: fixed(credentials), trustDomain, host: '127.0.0.1', port: 0, clock: systemClock }
  if (workers > 1) {
    const { startWorkers } = await import('../../waypoint/workers/workers.ts')
    const { createLog } = await import('../../src/telemetry/log.ts')
    const log = createLog('error', (line) => void process.stderr.write(`${line}\n`))
    const { address } = await startWorkers({ ...given, count: workers, accessLog: 'none', tracing: undefined, snapshot: snapshotFor(0), log })
    return { port: address.port }
  }
  const { startWaypoint } = await import('../../waypoint/waypoint.ts')
  const metrics = createMetrics(systemClock.now, { process: true })
  const waypoint = await startWaypoint({ ...given, telemetry: createTelemetry(`${namespace}/${waypointName}`, { metrics }) })
  waypoint.configure(snapshotFor(waypoint.address.port))
  return { port: waypoint.address.port }
})
