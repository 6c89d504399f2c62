import { Duplex } from 'node:stream'
import { backoffMs } from '../kit/backoff.ts'
import type { Cancel, Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import type { Issued } from '../model/credentials.ts'
import type { Identity } from '../model/identity.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type { Captures } from './acks.ts'
import { openLink, type Dialled, type Kept, type Link } from './link.ts'
import type { RefusalCause } from './messages.ts'
import type { Subscriber } from './slice.ts'

export interface ControllerClientOptions {
  /**
   * Makes a stream to a controller; called again, after a pause, whenever one ends.
   * @param avoid the address of a controller that is about to end
   */
  readonly dial: (avoid?: string) => Promise<Duplex | Dialled>
  readonly subscriber: Subscriber
  readonly identity: Identity
  /** Name of the pod. */
  readonly pod?: string | undefined
  readonly clock: Clock
  readonly random?: () => number
  /** What there is from before: only what has changed since travels. */
  readonly kept?: Kept | undefined
  /** Proves the identity for each certificate; not needed on a local socket. */
  readonly token?: () => Promise<string>
  /** Milliseconds between signs of life; with it a silent controller is left. */
  readonly keepAliveMs?: number
  /** Longest first pause after a failure, milliseconds; default 100. */
  readonly firstPauseMs?: number
  /** How long a stream serves before it is replaced by another one, milliseconds. Absent: until it ends. */
  readonly moveAfterMs?: (dialled: Dialled) => number
  /** Takes each configuration over; it runs when this returns, or, of a promise, when that is fulfilled, and is acknowledged then. */
  readonly onSnapshot: (snapshot: Snapshot) => unknown
  /** Told what runs, each time that a controller says so. */
  readonly onConfirmed?: (running: Kept) => void
  readonly onBundle: (trustBundlePem: readonly string[]) => void
  /** Told of every lost or refused stream; the client goes on trying. */
  readonly onTrouble: (message: string) => void
  readonly onRefused?: (cause: RefusalCause | undefined) => void
}

/** A data plane process's side of the stream: keeps it up, and keeps what it last heard while it is down. */
export interface ControllerClient {
  /** Rejects if the stream is down or ends first, or if the CA refuses. */
  readonly sign: (publicKeyPem: string, onBehalfOf?: string) => Promise<Issued>
  /** Says to this controller and every later one which pods of the node are captured. */
  readonly report: (captures: Captures) => void
  readonly connected: () => boolean
  /** When a controller last gave a sign of life, milliseconds since the epoch; undefined: never. */
  readonly heardAtMs: () => number | undefined
  /** Goes to another controller, or the same anew, as soon as that serves; the present stream serves until then. */
  readonly move: () => void
  readonly close: () => void
}

const maxPauseMs = 10_000
/** A stream that held so long was a good one: the next pause is short again. */
const goodStreamMs = 10_000
/** How long a new stream may take to take over from the present one. */
const takeOverMs = 10_000
/** A controller that ends tells all its subscribers at once: they leave within this time. */
const leaveWithinMs = 1_000

export function createControllerClient(options: ControllerClientOptions): ControllerClient {
  const { clock, onTrouble } = options
  const random = options.random ?? Math.random
  let known = options.kept
  /** What was handed over last, and its promise to run, if there is one. */
  let delivered: { readonly snapshot: Snapshot; readonly runs: unknown } | undefined
  let heardAtMs: number | undefined
  let captures: Captures | undefined
  let current: Link | undefined
  /** On its way to replace `current`. */
  let next: Link | undefined
  let opening = false
  let failures = 0
  let shortStreams = 0
  /** Streams that brought an update. */
  const served = new WeakSet<Link>()
  let closed = false
  let avoid: string | undefined
  let cancelRetry: Cancel = () => {}
  let cancelMove: Cancel = () => {}
  // Asked through a function because it changes across awaits.
  const isClosed = (): boolean => closed

  const deliver = (link: Link, state: Kept): boolean | Promise<boolean> => {
    const { snapshot } = state
    served.add(link)
    if (link === next) takeOver(link)
    if (link !== current) return false
    known = state
    const confirm = (): boolean => {
      if (!isClosed()) options.onConfirmed?.(state)
      return true
    }
    const failed = (error: unknown): boolean => {
      onTrouble(`the configuration could not be taken over: ${messageOf(error)}`)
      return false
    }
    try {
      if (delivered?.snapshot !== snapshot) delivered = { snapshot, runs: options.onSnapshot(snapshot) }
      const { runs } = delivered
      if (!(runs instanceof Promise)) return confirm()
      return runs.then(confirm).catch((error: unknown) => {
        // Whoever brings it again has it handed over again.
        if (delivered?.runs === runs) delivered = undefined
        return failed(error)
      })
    } catch (error) {
      return failed(error)
    }
  }

  const takeOver = (link: Link): void => {
    const before = current
    current = link
    next = undefined
    avoid = undefined
    plan(link)
    before?.close()
  }

  const plan = (link: Link): void => {
    cancelMove()
    if (options.moveAfterMs !== undefined) cancelMove = clock.after(options.moveAfterMs(link.dialled), move)
  }

  const gone = (link: Link): void => {
    if (link === next) {
      next = undefined
      retryMove()
      return
    }
    if (link !== current) return
    current = undefined
    cancelMove()
    if (isClosed()) return
    onTrouble('the stream from the controller ended')
    const good = clock.now() - link.openedAtMs >= goodStreamMs
    // Streams that bring something and end at once must not make a loop without pauses either.
    shortStreams = good ? 0 : shortStreams + 1
    failures = good ? 1 : served.has(link) ? shortStreams : failures + 1
    if (next !== undefined) takeOver(next)
    else if (!opening) retry()
  }

  const pause = (): number => backoffMs(Math.max(1, failures), { baseMs: options.firstPauseMs ?? 100, maxMs: maxPauseMs, random })
  const retry = (): void => {
    cancelRetry()
    cancelRetry = clock.after(pause(), start)
  }
  /** The present stream serves on meanwhile: no hurry. */
  const retryMove = (): void => {
    cancelMove()
    if (!isClosed()) cancelMove = clock.after(takeOverMs * (0.5 + random()), move)
  }

  const open = async (): Promise<void> => {
    opening = true
    try {
      const made = await options.dial(avoid)
      const dialled = made instanceof Duplex ? { stream: made } : made
      if (isClosed()) {
        dialled.stream.destroy()
        return
      }
      const link: Link = openLink(dialled, {
        subscriber: options.subscriber, identity: options.identity, pod: options.pod, kept: known, clock, keepAliveMs: options.keepAliveMs,
        token: options.token,
        onWord: () => (heardAtMs = clock.now()),
        onState: (state) => deliver(link, state),
        onBundle: (pems) => {
          if (link === current || link === next) options.onBundle(pems)
        },
        onDrain: () => {
          if (link !== current) return
          avoid = dialled.address
          cancelMove()
          cancelMove = clock.after(random() * leaveWithinMs, move)
        },
        onRefused: (message, cause) => {
          onTrouble(`the controller refused the stream: ${message}`)
          options.onRefused?.(cause)
        },
      })
      if (captures !== undefined) link.report(captures)
      if (current === undefined) {
        current = link
        plan(link)
      } else {
        next = link
        const cancel = clock.after(takeOverMs, () => {
          if (link === next) link.close()
        })
        void link.closed.then(cancel)
      }
      void link.closed.then(() => gone(link))
    } catch (error) {
      if (isClosed()) return
      onTrouble(`no stream from the controller: ${messageOf(error)}`)
      if (current !== undefined) retryMove()
      else {
        failures++
        retry()
      }
    } finally {
      opening = false
    }
  }
  const start = (): void => {
    if (!opening && !closed && current === undefined) void open()
  }
  const move = (): void => {
    if (current === undefined) start()
    else if (!opening && next === undefined && !closed) void open()
  }
  start()

  return {
    sign: (publicKeyPem, onBehalfOf) => (current ?? next)?.sign(publicKeyPem, onBehalfOf) ?? Promise.reject(new Error('there is no stream from the controller')),
    report: (pods) => {
      captures = pods
      current?.report(pods)
      next?.report(pods)
    },
    connected: () => current !== undefined,
    heardAtMs: () => heardAtMs,
    move,
    close: () => {
      closed = true
      cancelRetry()
      cancelMove()
      current?.close()
      next?.close()
    },
  }
}
