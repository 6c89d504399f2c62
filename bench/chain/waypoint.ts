import { systemClock } from '../../src/kit/clock.ts'
import type { Credentials } from '../../src/model/credentials.ts'
import { entryKey, type Entry } from '../../src/model/entries.ts'
import { createTelemetry } from '../../src/telemetry/create.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { startWaypoint } from '../../waypoint/waypoint.ts'
import { fixed, trustDomain } from '../certificates.ts'
import { runScript } from '../children.ts'
import { namespace, waypointName } from '../manifests.ts'

/** A waypoint as it runs in a mesh: metrics on, access log and tracing off. Told its configuration once it listens. */
runScript<{ readonly credentials: Credentials }>(async ({ credentials }) => {
  const metrics = createMetrics(systemClock.now, { process: true })
  const waypoint = await startWaypoint({
    namespace, name: waypointName, credentials: fixed(credentials), trustDomain, host: '127.0.0.1', port: 0, clock: systemClock,
    telemetry: createTelemetry(`${namespace}/${waypointName}`, { metrics }),
  })
  process.on('message', ({ entries }: { readonly entries: readonly Entry[] }) => {
    waypoint.configure(new Map(entries.map((entry) => [entryKey(entry), entry])))
    process.send?.({})
  })
  return { port: waypoint.address.port }
})
