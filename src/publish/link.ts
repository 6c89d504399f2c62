import type { Duplex } from 'node:stream'
import type { Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import type { Issued } from '../model/credentials.ts'
import type { Identity } from '../model/identity.ts'
import { apply, delta, type Snapshot } from '../model/snapshot.ts'
import type { AcknowledgementChange, Captures } from './acks.ts'
import { boundedCaptures, maxSignsForOthers, type ClientMessage, type RefusalCause, type ServerMessage } from './messages.ts'
import type { Subscriber } from './slice.ts'
import type { Update } from './view.ts'
import { createWire, keepAlive, type Wire } from './wire.ts'

/** A stream to a controller, and what is known about it. */
export interface Dialled {
  readonly stream: Duplex
  /** Where the controller is, to avoid it when it ends. */
  readonly address?: string
  /** When one of the certificates ends by which both sides know each other, milliseconds since the epoch. */
  readonly endsMs?: number
}

/** A slice and its hash. */
export interface Kept {
  readonly snapshot: Snapshot
  readonly hash: string
}

export interface LinkOptions {
  readonly subscriber: Subscriber
  readonly identity: Identity
  readonly pod: string | undefined
  readonly kept: Kept | undefined
  readonly clock: Clock
  readonly keepAliveMs: number | undefined
  readonly token: (() => Promise<string>) | undefined
  /** Whatever the controller says is a sign that it is there. */
  readonly onWord: () => void
  /** The slice is another now, or the first update says that it is the same. @returns whether it runs, and may be acknowledged; a promise if that takes time */
  readonly onState: (state: Kept) => boolean | Promise<boolean>
  readonly onBundle: (trustBundlePem: readonly string[]) => void
  readonly onDrain: () => void
  readonly onRefused: (message: string, cause: RefusalCause | undefined) => void
  /** The token could not be read; it is tried again. */
  readonly onTokenTrouble?: (message: string) => void
  readonly onWelcome?: (instance: string) => void
  readonly onAcks?: (change: AcknowledgementChange) => void
}

/** One stream from a controller. */
export interface Link {
  readonly dialled: Dialled
  readonly openedAtMs: number
  /** Rejects if the stream ends first or the CA refuses. @param onBehalfOf a SPIFFE id; see `ClientMessage` */
  readonly sign: (publicKeyPem: string, onBehalfOf?: string) => Promise<Issued>
  readonly report: (captures: Captures) => void
  readonly closed: Promise<void>
  readonly close: () => void
}

/** The CA's refusal; trying again with the same token is no use unless it is retryable. */
export class SignError extends Error {
  readonly retryable: boolean
  constructor(message: string, retryable: boolean) {
    super(message)
    this.name = 'SignError'
    this.retryable = retryable
  }
}

/** Says hello on a stream and listens to it. */
export function openLink(dialled: Dialled, options: LinkOptions): Link {
  const { subscriber, identity, pod, kept, clock } = options
  const wire = createWire<ServerMessage, ClientMessage>(dialled.stream)
  const signer = createSigner(wire, options.token)
  let snapshot: Snapshot = kept?.snapshot ?? new Map()

  const update = ({ fresh, changes, version, hash }: Update): void => {
    // Entries that are the same stay the same objects, and with them whatever the data plane has learnt about them.
    snapshot = apply(snapshot, fresh ? delta(snapshot, new Map(changes.put)) : changes)
    const acknowledge = (runs: boolean): void => {
      if (runs) wire.send({ type: 'ack', version, hash })
    }
    const runs = options.onState({ snapshot, hash })
    if (typeof runs === 'boolean') acknowledge(runs)
    else void runs.then(acknowledge)
  }

  wire.onMessage((message) => {
    options.onWord()
    switch (message.type) {
      case 'update':
        update(message)
        return
      case 'bundle':
        options.onBundle(message.trustBundlePem)
        return
      case 'signed':
      case 'sign-failed':
        signer.receive(message)
        return
      case 'drain':
        options.onDrain()
        return
      case 'refused':
        options.onRefused(message.message, message.cause)
        return
      case 'welcome':
        options.onWelcome?.(message.instance)
        return
      case 'acks':
        options.onAcks?.(message)
        return
      case 'ping':
      // A later version's message, which this one can do without.
      default:
        return
    }
  })
  wire.send({ type: 'hello', subscriber, identity, ...(pod === undefined ? {} : { pod }), ...(kept === undefined ? {} : { have: kept.hash }) })
  if (options.keepAliveMs !== undefined) {
    keepAlive(wire, { clock, intervalMs: options.keepAliveMs, send: () => wire.send({ type: 'ping' }), onDead: wire.close })
  }
  return { dialled, openedAtMs: clock.now(), sign: signer.sign, report: createReport(wire, options), closed: wire.closed, close: wire.close }
}

/** How long until a token that can not be read is tried again, milliseconds. */
const tokenPauseMs = 1_000

/** Says the newest of what is to be reported, each time with a token of now. */
function createReport(wire: Pick<Wire<ServerMessage, ClientMessage>, 'send' | 'closed'>, { token, clock, onTokenTrouble }: LinkOptions): Link['report'] {
  let newest: Captures | undefined
  let reading = false
  let over = false
  void wire.closed.then(() => (over = true))
  const isOver = (): boolean => over
  const say = async (): Promise<void> => {
    if (reading || newest === undefined || isOver()) return
    reading = true
    try {
      const proof = token === undefined ? {} : { token: await token() }
      if (!isOver()) wire.send({ type: 'captures', pods: boundedCaptures(newest), ...proof })
      newest = undefined
    } catch (error) {
      onTokenTrouble?.(messageOf(error))
      clock.after(tokenPauseMs, () => void say())
    } finally {
      reading = false
    }
  }
  return (pods) => {
    newest = pods
    void say()
  }
}

export interface Signer {
  readonly sign: (publicKeyPem: string, onBehalfOf?: string) => Promise<Issued>
  readonly receive: (message: Extract<ServerMessage, { type: 'signed' | 'sign-failed' }>) => void
}

/** Asks for certificates on a wire, one after another; what waits when it is closed is rejected. */
export function createSigner(wire: Pick<Wire<ServerMessage, ClientMessage>, 'send' | 'closed'>, token: (() => Promise<string>) | undefined): Signer {
  const waiting = new Map<number, { resolve: (issued: Issued) => void; reject: (error: Error) => void }>()
  let nextId = 1
  let over = false
  const ended = (): Error => new Error('the stream from the controller ended')
  void wire.closed.then(() => {
    over = true
    for (const { reject } of waiting.values()) reject(ended())
    waiting.clear()
  })
  /** The CA takes so many requests of a stream at a time. An agent that comes to a full node needs hundreds, and each waits for the API server. */
  const lanes = { own: createTurns(1), others: createTurns(maxSignsForOthers) }
  return {
    sign: (publicKeyPem, onBehalfOf) => (onBehalfOf === undefined ? lanes.own : lanes.others)(async () => {
      const proof = { ...(token === undefined ? {} : { token: await token() }), ...(onBehalfOf === undefined ? {} : { onBehalfOf }) }
      return new Promise<Issued>((resolve, reject) => {
        if (over) {
          reject(ended())
          return
        }
        const id = nextId++
        waiting.set(id, { resolve, reject })
        wire.send({ type: 'sign', id, publicKeyPem, ...proof })
      })
    }),
    receive: (message) => {
      const asked = waiting.get(message.id)
      waiting.delete(message.id)
      if (message.type === 'signed') asked?.resolve(message.issued)
      else asked?.reject(new SignError(message.message, message.retryable !== false))
    },
  }
}

/** Does at most `width` things at a time, in the order in which they came. */
function createTurns(width: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = []
  let running = 0
  return async (work) => {
    if (running >= width) await new Promise<void>((resolve) => waiting.push(resolve))
    else running++
    try {
      return await work()
    } finally {
      // Whoever waits takes the place over.
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}
