import { parentPort, workerData, type MessagePort } from 'node:worker_threads'
import { systemClock } from '../../src/kit/clock.ts'
import { namespacedName } from '../../src/model/refs.ts'
import { runConfigurations, toldCredentials } from '../../src/publish/threads.ts'
import { streamSink } from '../../src/telemetry/access-log.ts'
import { Counters } from '../../src/telemetry/counters.ts'
import { createTelemetry } from '../../src/telemetry/create.ts'
import { answerTaps } from '../../src/telemetry/tap-relay.ts'
import { TapPoint } from '../../src/telemetry/tap.ts'
import { startTracing } from '../../src/telemetry/tracing.ts'
import { startWaypoint } from '../waypoint.ts'
import type { FromThread, ThreadStart, ToThread } from './messages.ts'

/**
 * A thread that serves: a whole data plane with its own listener, pools and counters. It knows nothing of controllers; what it is told
 * comes from the main thread, in order. Whatever is thrown ends the thread, and the main thread starts another.
 */
async function serve(port: MessagePort, start: ThreadStart): Promise<void> {
  const { namespace, name, trustDomain, host, limits, accessLog } = start
  const say = (message: FromThread): void => port.postMessage(message)
  const credentials = toldCredentials(start.credentials)
  const counters = new Counters(namespacedName(namespace, name))
  const tracing = start.tracing === undefined ? undefined : await startTracing(start.tracing)
  const tap = new TapPoint(systemClock)
  const answerTap = answerTaps(tap, say)
  const sink = accessLog === 'none' ? undefined : streamSink(process.stdout)
  const waypoint = await startWaypoint({
    namespace, name, credentials, trustDomain, host, port: start.port, reusePort: true, clock: systemClock, limits,
    telemetry: createTelemetry(counters.waypoint, {
      metrics: { forWaypoint: () => counters }, tracing, accessLog: sink?.write, accessLogOf: accessLog === 'errors' ? 'errors' : 'all', tap,
    }),
    debug: start.debug ? (line) => say({ type: 'debug', line }) : undefined,
  })
  // Nothing came in between: connections are taken in the next turn of the event loop.
  const configure = runConfigurations(start.configuration, waypoint.configure, say)
  say({ type: 'listening', address: waypoint.address })

  const drain = async (deadlineMs: number | undefined): Promise<void> => {
    await waypoint.drain(deadlineMs)
    await tracing?.close()
    await sink?.flushed()
    say({ type: 'counts', counts: counters.counts() })
    say({ type: 'drained' })
  }
  // What was said since the start has waited for this.
  port.on('message', (message: ToThread) => {
    switch (message.type) {
      case 'configure':
        configure(message)
        return
      case 'credentials':
        credentials.set(message.credentials)
        return
      case 'count':
        say({ type: 'counts', counts: counters.counts() })
        return
      case 'tap':
      case 'untap':
        answerTap(message)
        return
      case 'drain':
        void drain(message.deadlineMs)
    }
  })
}

// Loaded anywhere else, this file does nothing.
if (parentPort !== null && (workerData as Partial<ThreadStart> | null)?.kind === 'waypoint') await serve(parentPort, workerData as ThreadStart)
