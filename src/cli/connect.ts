import { connect as connectSocket } from 'node:net'
import type { Duplex } from 'node:stream'
import { startEntry, type Entry } from '../connect/entry.ts'
import { listening } from '../control/listening.ts'
import { systemClock } from '../kit/clock.ts'
import type { Identity } from '../model/identity.ts'
import { formatSpiffeId } from '../model/identity.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { createControllerClient } from '../publish/client.ts'
import { keepCredentials, type CredentialKeeper } from '../transport/credentials.ts'
import { exitCodes, type Io } from './io.ts'
import { describe } from './run.ts'
import { nodeProblem } from './node-version.ts'
import { stopSignal } from './signals.ts'
import type { WorkloadName } from './usage.ts'

export interface ConnectVerbOptions {
  readonly controlSocket: string
  readonly as: WorkloadName & { readonly port: number }
  readonly host: string
  readonly trustDomain: string
}

/** Milliseconds that what is on its way gets to finish after the first signal. */
const drainMs = 30_000

/** `waymark connect`: ends at a signal. */
export async function connect(options: ConnectVerbOptions, io: Io): Promise<number> {
  const problem = nodeProblem(process.versions.node)
  if (problem !== undefined) {
    io.say(`waymark connect: can not start: ${problem}`)
    return exitCodes.failed
  }
  const stop = stopSignal()
  const { as, trustDomain, controlSocket, host } = options
  const identity: Identity = { trustDomain, namespace: as.namespace, serviceAccount: as.serviceAccount }
  const say = sayOnce(io.say)
  let entry: Entry | undefined
  let credentials: CredentialKeeper | undefined
  let snapshot: Snapshot | undefined
  let pushed: readonly string[] | undefined

  const configured = Promise.withResolvers<undefined>()
  const client = createControllerClient({
    dial: () => dial(controlSocket),
    subscriber: { kind: 'entry', namespace: as.namespace },
    identity,
    clock: systemClock,
    onSnapshot: (next) => {
      say(snapshot === undefined ? 'configuration received' : 'configuration is up to date')
      snapshot = next
      entry?.configure(next)
      configured.resolve(undefined)
    },
    onBundle: (bundle) => {
      pushed = bundle
      credentials?.updateBundle(bundle)
    },
    onTrouble: (message) => say(`${message}; trying again${entry === undefined ? '' : ', what is here serves on'}`),
  })
  const giveUp = new AbortController()
  void stop.first.then(() => giveUp.abort(new Stopped()))
  try {
    await Promise.race([configured.promise, aborted(giveUp.signal)])
    credentials = await keepCredentials({
      identity, clock: systemClock, signal: giveUp.signal,
      fetch: (publicKeyPem) => {
        pushed = undefined
        return client.sign(publicKeyPem)
      },
      onError: (error) => say(`certificate of ${formatSpiffeId(identity)}: ${error.message}`),
    })
    // A bundle that came while the first certificate was asked for: the keeper was not there to hear of it.
    if (pushed !== undefined) credentials.updateBundle(pushed)
    const kept = credentials
    entry = await listening('the proxy', `port ${as.port}`, '--as ns/sa@port', () => startEntry({ credentials: kept, host, port: as.port, clock: systemClock }))
    if (snapshot !== undefined) entry.configure(snapshot)
    io.say(`entry of ${formatSpiffeId(identity)} on ${entry.address.host}:${entry.address.port}`)
    io.say('ready: end it with Ctrl-C')
    await stop.first
    await entry.drain(drainMs)
    return exitCodes.fine
  } catch (error) {
    if (error instanceof Stopped) return exitCodes.fine
    io.say(`waymark connect: can not start: ${describe(error)}`)
    return exitCodes.failed
  } finally {
    credentials?.close()
    client.close()
    stop.release()
  }
}

/** A signal came before there was anything to drain. */
class Stopped extends Error {}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Stopped), { once: true })
  })
}

function dial(path: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket(path)
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

/** The same line again and again tells nothing: a controller that is away is tried every few seconds. */
function sayOnce(say: (line: string) => void): (line: string) => void {
  let last = ''
  return (line) => {
    if (line !== last) say(line)
    last = line
  }
}
