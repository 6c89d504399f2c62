import { systemClock } from '../../src/kit/clock.ts'
import type { Credentials } from '../../src/model/credentials.ts'
import { slice } from '../../src/publish/slice.ts'
import { createTelemetry } from '../../src/telemetry/create.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { translate } from '../../src/translate/translate.ts'
import { startWaypoint } from '../../waypoint/waypoint.ts'
import { fixed, trustDomain } from '../certificates.ts'
import { runScript } from '../children.ts'
import { namespace, resourcesOf, waypointName, type Shape } from '../manifests.ts'

export interface WaymarkOptions {
  readonly credentials: Credentials
  readonly shape: Shape
  readonly backendPort: number
}

// A waypoint as it runs in a mesh: metrics on, access log and tracing off.
runScript<WaymarkOptions>(async ({ credentials, shape, backendPort }) => {
  const metrics = createMetrics(systemClock.now, { process: true })
  const waypoint = await startWaypoint({
    namespace, name: waypointName, credentials: fixed(credentials), trustDomain, host: '127.0.0.1', port: 0, clock: systemClock,
    telemetry: createTelemetry(`${namespace}/${waypointName}`, { metrics }),
  })
  const waypointAddresses = new Map([[`${namespace}/${waypointName}`, [waypoint.address]]])
  const { snapshot, warnings } = translate(resourcesOf(shape, backendPort), { trustDomain, waypointAddresses })
  if (warnings.length > 0) throw new Error(`the manifests of the benchmark give warnings: ${JSON.stringify(warnings.slice(0, 3))}`)
  waypoint.configure(slice(snapshot, { kind: 'waypoint', namespace }))
  return { port: waypoint.address.port }
})
