import { readFile } from 'node:fs/promises'
import type { Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import type { CredentialSource, Credentials, Issued } from '../model/credentials.ts'
import { formatSpiffeId, type Identity } from '../model/identity.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { keepCredentials } from '../transport/credentials.ts'
import { parseTrustBundle } from '../transport/svid.ts'
import type { Captures } from './acks.ts'
import { createControllerClient, type ControllerClient } from './client.ts'
import { keepAliveMs } from './control-tls.ts'
import { dialAny, dialController, systemResolve, type Resolve } from './dial.ts'
import { openKeptState } from './kept.ts'
import { createSigner, type Dialled, type Kept } from './link.ts'
import type { ClientMessage, ServerMessage } from './messages.ts'
import type { Subscriber } from './slice.ts'
import { readToken } from './token.ts'
import { createWire } from './wire.ts'

export interface JoinOptions {
  /** A host name with an address for each controller, or an IP address. */
  readonly controller: { readonly host: string; readonly port: number }
  /** SPIFFE id that must answer there. */
  readonly controllerId: string
  /** Default: as the machine resolves names. */
  readonly resolve?: Resolve
  /** A projected token with our audience; read anew for each certificate. */
  readonly tokenFile: string
  /** Roots by which a controller is trusted, PEM; read anew for each connection. */
  readonly bundleFile: string
  /** Where the last configuration and certificate are kept, private to the pod. Undefined: nowhere. */
  readonly stateDirectory?: string | undefined
  readonly identity: Identity
  readonly subscriber: Subscriber
  /** Name of this pod. */
  readonly pod?: string | undefined
  readonly clock: Clock
  readonly random?: () => number
  /**
   * Takes each configuration over, the first one before `joinMesh` resolves; it is acknowledged when this returns, or, of a promise, when
   * that is fulfilled. `joinMesh` does not wait for that.
   */
  readonly onSnapshot: (snapshot: Snapshot) => unknown
  /** Told what is wrong, the same thing once; it goes on trying. */
  readonly onTrouble: (message: string) => void
  /** Gives the wait for the first configuration up. */
  readonly signal?: AbortSignal
  /** How long controllers have to answer if there is kept state to start from, milliseconds; default 3 s. */
  readonly patienceMs?: number
  /** Longest first pause after a lost stream, milliseconds; default 500. */
  readonly firstPauseMs?: number
}

/** A process of the mesh, with its configuration and certificate. */
export interface Member {
  readonly credentials: CredentialSource
  /** Whether there is a stream from a controller now. */
  readonly connected: () => boolean
  /** A node's agent only: asks for an SVID for a pod of its node. @param id its SPIFFE id. Rejects while there is no stream. */
  readonly signFor: (id: string, publicKeyPem: string) => Promise<Issued>
  /** A node's agent only: says which pods of its node are captured, now and to every later controller. */
  readonly report: (captures: Captures) => void
  /** Milliseconds since the last word of a controller, to this process or, if it never heard any, to the one before. */
  readonly staleMs: () => number
  /** Where the present configuration is from; `kept`: from disk, and no controller has said yet that it is the present one. */
  readonly source: () => 'controller' | 'kept'
  readonly close: () => Promise<void>
}

/** A stream is replaced after this time or up to twice that, so that subscribers spread over controllers again after one was away. */
const moveAfterMs = 600_000
const leastStreamMs = 5_000
/** How long the CA may take, and a name may take to resolve, milliseconds. */
const signTimeoutMs = 10_000
const resolveTimeoutMs = 5_000

/**
 * Joins the mesh: gets a certificate by a token, then configuration over mutual TLS, and keeps both fresh.
 *
 * Which roots count: who speaks for the mesh is judged by the bundle that a controller pushed last, for controllers are the source of
 * every change. Who may be a controller is judged by the bundle file and the pushed bundle together: either may be the newer one.
 * During a rotation both hold the root that the controller's certificate is from, for each step waits until everybody has the one
 * before; a root that is retired stays good here for as long as the file holds it, about a minute. The bundle that is kept on disk may
 * be old: for controllers it counts only while the file can not be read, for the mesh only until a controller answers.
 *
 * @returns when there are a certificate and a configuration: a controller's, or, if none answers for a while, what is kept
 * @throws the reason of `signal`, and nothing else
 */
export async function joinMesh(options: JoinOptions): Promise<Member> {
  const { clock, identity, subscriber, signal } = options
  const random = options.random ?? Math.random
  const trouble = sayOnce(options.onTrouble)
  const startedMs = clock.now()
  const kept = await openKeptState({ directory: options.stateDirectory, identity, subscriber, clock, onTrouble: trouble.say })
  let pushed: readonly string[] | undefined
  const stream: { client?: ControllerClient } = {}
  /** The controller refused our certificate: the next one must come by token alone. */
  let distrusted = false
  /** What was handed over last, and its promise to run, if there is one. */
  let delivered: { readonly snapshot: Snapshot; readonly runs: unknown } | undefined
  let source: 'controller' | 'kept' = 'kept'

  const dial = async (shown: () => Credentials | undefined, avoid?: string): Promise<Dialled> => {
    const addresses = await within(clock, resolveTimeoutMs, `the name ${options.controller.host} did not resolve`, (options.resolve ?? systemResolve)(options.controller.host))
    const trustBundlePem = await rootsForControllers(options.bundleFile, pushed, kept.credentials?.trustBundlePem)
    return dialAny(addresses, avoid, random, (address) =>
      dialController(address, options.controller.port, { controllerId: options.controllerId, trustDomain: identity.trustDomain, trustBundlePem, credentials: shown(), clock }))
  }

  const fetch = async (publicKeyPem: string): Promise<Issued> => {
    if (stream.client?.connected() === true && !distrusted) return stream.client.sign(publicKeyPem)
    const dialled = await dial(() => undefined)
    const wire = createWire<ServerMessage, ClientMessage>(dialled.stream)
    try {
      const signer = createSigner(wire, () => readToken(options.tokenFile))
      wire.onMessage((message) => {
        if (message.type === 'signed' || message.type === 'sign-failed') signer.receive(message)
        if (message.type === 'refused') trouble.say(`the controller refused the stream: ${message.message}`)
      })
      const issued = await within(clock, signTimeoutMs, 'the CA did not answer', signer.sign(publicKeyPem))
      distrusted = false
      return issued
    } finally {
      wire.close()
    }
  }

  const keeper = await keepCredentials({
    identity, clock, random, fetch, initial: kept.credentials,
    onError: (error) => trouble.say(`certificate of ${formatSpiffeId(identity)}: ${error.message}`),
    fetchTimeoutMs: 3 * signTimeoutMs,
    ...(signal === undefined ? {} : { signal }),
  })
  kept.keepCredentials(keeper.current())
  const stopKeeping = keeper.onChange(kept.keepCredentials)

  const first = Promise.withResolvers<undefined>()
  const deliver = (snapshot: Snapshot): unknown => {
    if (snapshot !== delivered?.snapshot) {
      const runs = options.onSnapshot(snapshot)
      delivered = { snapshot, runs }
      if (runs instanceof Promise) {
        runs.catch(() => {
          if (delivered?.runs === runs) delivered = undefined
        })
      }
    }
    first.resolve(undefined)
    return delivered.runs
  }
  const connection = createControllerClient({
    dial: (avoid) => dial(keeper.current, avoid),
    subscriber, identity, pod: options.pod, clock, random, keepAliveMs, kept: kept.slice,
    firstPauseMs: options.firstPauseMs ?? 500,
    token: () => readToken(options.tokenFile),
    moveAfterMs: ({ endsMs = Infinity }) => Math.max(leastStreamMs, Math.min(moveAfterMs * (1 + random()), (endsMs - clock.now()) * (0.5 + 0.3 * random()))),
    onSnapshot: deliver,
    onConfirmed: (running) => {
      source = 'controller'
      trouble.forget()
      kept.keepSlice(running)
    },
    onBundle: (pems) => {
      try {
        keeper.updateBundle(pems)
        pushed = pems
      } catch (error) {
        trouble.say(`the controller's trust bundle is not used: ${messageOf(error)}`)
      }
    },
    onTrouble: trouble.say,
    onRefused: (cause) => {
      if (cause !== 'certificate') return
      distrusted = true
      // Its failure goes to onError, and it is tried again.
      keeper.refresh().catch(() => {})
    },
  })
  stream.client = connection

  const close = async (): Promise<void> => {
    stopKeeping()
    keeper.close()
    connection.close()
    await kept.close()
  }
  const { slice } = kept
  const deliverKept = async ({ snapshot }: Kept): Promise<void> => {
    try {
      await deliver(snapshot)
    } catch (error) {
      trouble.say(`the configuration that was kept could not be taken over: ${messageOf(error)}`)
    }
  }
  const cancel = slice === undefined ? () => {} : clock.after(options.patienceMs ?? 3_000, () => void deliverKept(slice))
  try {
    await untilAborted(first.promise, signal)
  } catch (error) {
    await close()
    throw error
  } finally {
    cancel()
  }
  return {
    credentials: keeper,
    connected: connection.connected,
    signFor: (id, publicKeyPem) => connection.sign(publicKeyPem, id),
    report: connection.report,
    staleMs: () => Math.max(0, clock.now() - (connection.heardAtMs() ?? kept.sliceAtMs ?? startedMs)),
    source: () => source,
    close,
  }
}

/** @throws if there is no root at all */
async function rootsForControllers(file: string, pushed: readonly string[] | undefined, kept: readonly string[] | undefined): Promise<readonly string[]> {
  let why: unknown
  const fromFile = await readFile(file, 'utf8').then((text) => {
    parseTrustBundle([text])
    return [text]
  }).catch((error: unknown) => {
    why = error
    return undefined
  })
  const roots = [...(fromFile ?? []), ...(pushed ?? (fromFile === undefined ? (kept ?? []) : []))]
  if (roots.length > 0) return roots
  throw new Error(`the trust bundle ${file} can not be used: ${messageOf(why)}; mount the mesh's roots there`)
}

function within<T>(clock: Clock, timeoutMs: number, what: string, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(timeoutMs, () => reject(new Error(`${what} within ${timeoutMs} ms`)))
    work.then(resolve, reject).finally(cancel)
  })
}

function untilAborted(work: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal?.reason instanceof Error ? signal.reason : new Error('the wait for the first configuration was given up'))
    void work.then(() => {
      signal?.removeEventListener('abort', abort)
      resolve()
    })
    signal?.addEventListener('abort', abort, { once: true })
    if (signal?.aborted === true) abort()
  })
}

/** A controller that is away is tried every few seconds: saying so each time tells nothing. */
function sayOnce(say: (message: string) => void): { readonly say: (message: string) => void; readonly forget: () => void } {
  let said = new Set<string>()
  return {
    say: (message) => {
      if (said.has(message)) return
      // Messages may differ without end, by a number in them.
      if (said.size >= 32) said = new Set()
      said.add(message)
      say(message)
    },
    forget: () => {
      said = new Set()
    },
  }
}
