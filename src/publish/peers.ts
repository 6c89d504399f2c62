import { backoffMs } from '../kit/backoff.ts'
import type { Cancel, Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import type { CredentialSource } from '../model/credentials.ts'
import type { Acknowledgement } from './acks.ts'
import { keepAliveMs } from './control-tls.ts'
import { dialController } from './dial.ts'
import { openLink } from './link.ts'

export interface ControllerAddress {
  readonly host: string
  readonly port: number
}

export interface PeerAcksOptions {
  /** The controller's own. */
  readonly credentials: CredentialSource
  /** SPIFFE id of every controller. */
  readonly controllerId: string
  /** The `instance` of our own server: it is no peer. */
  readonly instance: string
  /** Where the controllers are, as far as is known now. */
  readonly resolve: () => readonly ControllerAddress[]
  readonly clock: Clock
  readonly random?: () => number
  /** Told after each change of `acknowledgements`. */
  readonly onChange: () => void
  readonly onTrouble: (message: string) => void
}

/** What the subscribers of the other controllers run. */
export interface PeerAcks {
  /** A pod that goes from one controller to another may be here twice for a while. */
  readonly acknowledgements: () => readonly Acknowledgement[]
  /** Looks at `resolve` again. */
  readonly refresh: () => void
  readonly close: () => void
}

const pauses = { baseMs: 500, maxMs: 10_000 } as const
/**
 * How long what a lost controller said counts on, milliseconds: its subscribers go on with what they run, and tell it to another
 * controller within a moment. Without it every rolling restart of the controllers would show in statuses.
 */
const rememberMs = 20_000
/** A stream that held so long was a good one, milliseconds. */
const goodStreamMs = 10_000

interface Peer {
  readonly acknowledgements: () => Iterable<Acknowledgement>
  /** It is not among the controllers any more. */
  readonly close: () => void
}

/** Keeps a stream to every other controller. */
export function createPeerAcks(options: PeerAcksOptions): PeerAcks {
  const peers = new Map<string, Peer>()
  /** What controllers said that are gone. */
  const remembered = new Set<readonly Acknowledgement[]>()
  let closed = false
  let reported = ''

  const remember = (said: readonly Acknowledgement[]): void => {
    if (said.length === 0 || closed) return
    remembered.add(said)
    options.clock.after(rememberMs, () => {
      if (remembered.delete(said) && !closed) options.onChange()
    })
  }

  const refresh = (): void => {
    if (closed) return
    let found: readonly ControllerAddress[]
    try {
      found = options.resolve()
    } catch (error) {
      // It is called for each change of the cluster: what a strange object there makes of it must not end the process.
      const trouble = `the other controllers are not known: ${messageOf(error)}`
      if (trouble !== reported) options.onTrouble(trouble)
      reported = trouble
      return
    }
    reported = ''
    const wanted = new Map(found.map((address) => [`${address.host} ${address.port}`, address]))
    for (const [key, peer] of peers) {
      if (wanted.has(key)) continue
      peers.delete(key)
      peer.close()
    }
    for (const [key, address] of wanted) if (!peers.has(key)) peers.set(key, follow(address, options, remember))
  }
  refresh()
  return {
    acknowledgements: () => [...[...peers.values()].flatMap((peer) => [...peer.acknowledgements()]), ...[...remembered].flat()],
    refresh,
    close: () => {
      closed = true
      for (const peer of peers.values()) peer.close()
      peers.clear()
      remembered.clear()
    },
  }
}

function follow(address: ControllerAddress, options: PeerAcksOptions, remember: (said: readonly Acknowledgement[]) => void): Peer {
  const { credentials, clock, controllerId } = options
  const random = options.random ?? Math.random
  const said = new Map<string, Acknowledgement>()
  let failures = 0
  let closed = false
  let reported = ''
  let cancel: Cancel = () => {}
  let end = (): void => {}
  // Asked through a function because it changes across awaits.
  const isClosed = (): boolean => closed

  const trouble = (message: string): void => {
    if (message !== reported) options.onTrouble(message)
    reported = message
  }
  const forget = (): void => {
    remember([...said.values()])
    said.clear()
  }

  const run = async (): Promise<void> => {
    let openedAtMs = clock.now()
    try {
      const current = credentials.current()
      const dialled = await dialController(address.host, address.port, {
        controllerId, trustDomain: credentials.identity.trustDomain, trustBundlePem: current.trustBundlePem, credentials: current, clock,
      })
      if (isClosed()) {
        dialled.stream.destroy()
        return
      }
      openedAtMs = clock.now()
      const link = openLink(dialled, {
        subscriber: { kind: 'controller', namespace: credentials.identity.namespace }, identity: credentials.identity,
        pod: undefined, kept: undefined, token: undefined, clock, keepAliveMs,
        onWord: () => {}, onState: () => false, onBundle: () => {}, onDrain: () => {},
        onRefused: (message) => trouble(`the controller at ${address.host} refused the stream: ${message}`),
        onWelcome: (instance) => {
          // Ourselves: nothing that we do not know, ever.
          if (instance !== options.instance) return
          closed = true
          link.close()
        },
        onAcks: ({ fresh, put, remove }) => {
          reported = ''
          if (fresh) said.clear()
          for (const [id, acknowledgement] of put) said.set(id, acknowledgement)
          for (const id of remove) said.delete(id)
          options.onChange()
        },
      })
      end = link.close
      await link.closed
    } catch (error) {
      trouble(`no stream to the controller at ${address.host}: ${messageOf(error)}`)
    }
    if (isClosed()) return
    forget()
    failures = clock.now() - openedAtMs >= goodStreamMs ? 1 : failures + 1
    cancel = clock.after(backoffMs(failures, { ...pauses, random }), start)
  }
  const start = (): void => void run()
  start()
  return {
    acknowledgements: () => said.values(),
    close: () => {
      closed = true
      cancel()
      end()
      forget()
    },
  }
}
