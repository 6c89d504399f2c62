import type { Duplex } from 'node:stream'
import { backoffMs } from '../kit/backoff.ts'
import type { Cancel, Clock } from '../kit/clock.ts'
import type { Issued } from '../model/credentials.ts'
import type { Identity } from '../model/identity.ts'
import { apply, type Snapshot } from '../model/snapshot.ts'
import type { Subscriber } from './slice.ts'
import { createWire, type ClientMessage, type ServerMessage, type Wire } from './wire.ts'

export interface ControllerClientOptions {
  /** Makes a stream to a controller; called again, after a pause, whenever one ends. */
  readonly dial: () => Promise<Duplex>
  readonly subscriber: Subscriber
  readonly identity: Identity
  readonly clock: Clock
  readonly random?: () => number
  /** Takes each configuration over; it runs when this returns, and is acknowledged then. */
  readonly onSnapshot: (snapshot: Snapshot) => void
  readonly onBundle: (trustBundlePem: readonly string[]) => void
  /** Told of every lost or refused stream; the client goes on trying. */
  readonly onTrouble: (message: string) => void
}

/** A data plane process's side of the stream: keeps it up, and keeps what it last heard while it is down. */
export interface ControllerClient {
  /** Rejects if the stream is down or ends first, or if the CA refuses. */
  readonly sign: (publicKeyPem: string) => Promise<Issued>
  readonly connected: () => boolean
  readonly close: () => void
}

const pauses = { baseMs: 100, maxMs: 10_000 } as const

export function createControllerClient(options: ControllerClientOptions): ControllerClient {
  const { subscriber, identity, clock, onTrouble } = options
  const random = options.random ?? Math.random
  const waiting = new Map<number, { resolve: (issued: Issued) => void; reject: (error: Error) => void }>()
  let wire: Wire<ServerMessage, ClientMessage> | undefined
  let snapshot: Snapshot = new Map()
  let nextId = 1
  let failures = 0
  let closed = false
  let cancel: Cancel = () => {}
  // Asked through a function because it changes across awaits.
  const isClosed = (): boolean => closed

  const receive = (message: ServerMessage): void => {
    if (message.type !== 'refused') failures = 0
    switch (message.type) {
      case 'update':
        snapshot = apply(message.fresh ? new Map() : snapshot, message.changes)
        options.onSnapshot(snapshot)
        return wire?.send({ type: 'ack', version: message.version })
      case 'bundle':
        {
          options.onBundle(message.trustBundlePem)
          return
        }
      case 'signed':
        waiting.get(message.id)?.resolve(message.issued)
        return void waiting.delete(message.id)
      case 'sign-failed':
        waiting.get(message.id)?.reject(new Error(message.message))
        return void waiting.delete(message.id)
      case 'refused':
        {
          onTrouble(`the controller refused the stream: ${message.message}`)
          return
        }
    }
  }

  const run = async (): Promise<void> => {
    try {
      const stream = await options.dial()
      if (isClosed()) return void stream.destroy()
      const current = createWire<ServerMessage, ClientMessage>(stream)
      wire = current
      current.onMessage(receive)
      current.send({ type: 'hello', subscriber, identity })
      await current.closed
      onTrouble('the stream from the controller ended')
    } catch (error) {
      onTrouble(`no stream from the controller: ${error instanceof Error ? error.message : String(error)}`)
    }
    wire = undefined
    for (const { reject } of waiting.values()) reject(new Error('the stream from the controller ended'))
    waiting.clear()
    if (!isClosed()) cancel = clock.after(backoffMs(++failures, { ...pauses, random }), start)
  }
  const start = (): void => void run()
  start()

  return {
    sign: (publicKeyPem) =>
      new Promise((resolve, reject) => {
        if (wire === undefined) {
          reject(new Error('there is no stream from the controller'))
          return
        }
        const id = nextId++
        waiting.set(id, { resolve, reject })
        wire.send({ type: 'sign', id, publicKeyPem })
      }),
    connected: () => wire !== undefined,
    close: () => {
      closed = true
      cancel()
      wire?.close()
    },
  }
}
