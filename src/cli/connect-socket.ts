import { connect as connectSocket } from 'node:net'
import type { Duplex } from 'node:stream'
import { startEntry, type Entry } from '../connect/entry.ts'
import { listening } from '../control/listening.ts'
import { systemClock } from '../kit/clock.ts'
import { formatSpiffeId, type Identity } from '../model/identity.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { createControllerClient } from '../publish/client.ts'
import { keepCredentials } from '../transport/credentials.ts'
import type { ConnectContext, RunningEntry } from './connect-entry.ts'

/**
 * Enters the mesh of the process behind a control socket, as whatever workload that lets one be.
 * @throws the listen error, or the reason of `signal`
 */
export async function connectBySocket(path: string, identity: Identity, { host, port, signal, say }: ConnectContext): Promise<RunningEntry> {
  const sayNew = sayOnce(say)
  let entry: Entry | undefined
  let snapshot: Snapshot | undefined
  let pushed: readonly string[] | undefined

  const configured = Promise.withResolvers<undefined>()
  const client = createControllerClient({
    dial: () => dial(path),
    subscriber: { kind: 'entry', namespace: identity.namespace },
    identity,
    clock: systemClock,
    onSnapshot: (next) => {
      sayNew(snapshot === undefined ? 'configuration received' : 'configuration is up to date')
      snapshot = next
      entry?.configure(next)
      configured.resolve(undefined)
    },
    onBundle: (bundle) => {
      pushed = bundle
      credentials?.updateBundle(bundle)
    },
    onTrouble: (message) => sayNew(`${message}; trying again${entry === undefined ? '' : ', what is here serves on'}`),
  })
  let credentials: Awaited<ReturnType<typeof keepCredentials>> | undefined
  const close = (): void => {
    credentials?.close()
    client.close()
  }
  try {
    await Promise.race([configured.promise, aborted(signal)])
    const kept = await keepCredentials({
      identity, clock: systemClock, signal,
      fetch: (publicKeyPem) => {
        pushed = undefined
        return client.sign(publicKeyPem)
      },
      onError: (error) => sayNew(`certificate of ${formatSpiffeId(identity)}: ${error.message}`),
    })
    credentials = kept
    // A bundle that came while the first certificate was asked for: the keeper was not there to hear of it.
    if (pushed !== undefined) kept.updateBundle(pushed)
    const started = await listening('the proxy', `port ${port}`, '--as ns/sa@port', () => startEntry({ credentials: kept, host, port, clock: systemClock }))
    entry = started
    if (snapshot !== undefined) started.configure(snapshot)
    return {
      entry: started,
      close: () => {
        close()
        return Promise.resolve()
      },
    }
  } catch (error) {
    close()
    throw error
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
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
