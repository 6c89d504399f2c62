import { hash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import type { CredentialSource, Issued } from '../model/credentials.ts'
import { formatSpiffeId, type Identity } from '../model/identity.ts'
import { openKeptState } from '../publish/kept.ts'
import { keepCredentials, type CredentialKeeper } from '../transport/credentials.ts'

export interface IdentitiesOptions {
  /** Asks the CA for an SVID in a pod's name. */
  readonly signFor: (id: string, publicKeyPem: string) => Promise<Issued>
  readonly clock: Clock
  readonly random?: () => number
  /** Where certificates are kept over restarts of the agent's container, private to it. Undefined: nowhere. */
  readonly stateDirectory?: string | undefined
  readonly onTrouble: (message: string) => void
}

/** One pod's hold on the credentials of its service account. */
export interface HeldIdentity {
  /** Resolves as soon as there are credentials, by the first of all pods that asked. Rejects if it is let go before. */
  readonly ready: Promise<CredentialSource>
  /** The last hold of a service account that is let go drops its key. */
  readonly release: () => void
}

/** Credentials of the service accounts whose pods run on this node, and of no others. */
export interface Identities {
  readonly hold: (identity: Identity) => HeldIdentity
  /** Gives every one the mesh's roots of now. */
  readonly updateBundle: (trustBundlePem: readonly string[]) => void
  /** SPIFFE ids that are held, and from when to when their certificates are valid, milliseconds since the epoch; undefined: none yet. */
  readonly list: () => readonly { readonly id: string; readonly holds: number; readonly notBeforeMs: number | undefined; readonly notAfterMs: number | undefined }[]
  readonly close: () => void
}

interface Held {
  holds: number
  readonly giveUp: AbortController
  keeper: CredentialKeeper | undefined
  readonly ready: Promise<CredentialSource>
}

/** An account without pods may have one again in a moment: its Deployment rolls. Milliseconds. */
const lingerMs = 5_000

export function createIdentities(options: IdentitiesOptions): Identities {
  const { clock, onTrouble } = options
  const held = new Map<string, Held>()
  let bundle: readonly string[] | undefined
  let closed = false

  const directoryOf = (id: string): string | undefined =>
    options.stateDirectory === undefined ? undefined : join(options.stateDirectory, 'identities', hash('sha256', id).slice(0, 32))

  const updateOne = ({ keeper }: Held, id: string): void => {
    if (bundle === undefined || keeper === undefined) return
    try {
      keeper.updateBundle(bundle)
    } catch (error) {
      onTrouble(`the trust bundle is not used for ${id}: ${messageOf(error)}`)
    }
  }

  const obtain = async (identity: Identity, id: string, signal: AbortSignal, hold: () => Held): Promise<CredentialSource> => {
    const kept = await openKeptState({ directory: directoryOf(id), identity, subscriber: { kind: 'agent', namespace: identity.namespace }, clock, onTrouble })
    const keeper = await keepCredentials({
      identity, clock, initial: kept.credentials, signal,
      ...(options.random === undefined ? {} : { random: options.random }),
      fetch: (publicKeyPem) => options.signFor(id, publicKeyPem),
      onError: (error) => onTrouble(`certificate of ${id}: ${error.message}`),
    })
    if (signal.aborted) {
      keeper.close()
      throw new Error(`${id} was let go`)
    }
    kept.keepCredentials(keeper.current())
    keeper.onChange(kept.keepCredentials)
    hold().keeper = keeper
    updateOne(hold(), id)
    return keeper
  }

  const drop = (id: string, one: Held): void => {
    if (one.holds > 0 || held.get(id) !== one) return
    held.delete(id)
    one.giveUp.abort(new Error(`${id} was let go`))
    one.keeper?.close()
    const directory = directoryOf(id)
    if (directory !== undefined) rm(directory, { recursive: true, force: true }).catch((error: unknown) => onTrouble(`the kept certificate of ${id} could not be removed: ${messageOf(error)}`))
  }

  const begin = (identity: Identity, id: string): Held => {
    const giveUp = new AbortController()
    const one: Held = { holds: 0, giveUp, keeper: undefined, ready: Promise.resolve().then(() => obtain(identity, id, giveUp.signal, () => one)) }
    // Whoever waits hears of it; nobody need.
    one.ready.catch(() => {})
    held.set(id, one)
    return one
  }

  return {
    hold: (identity) => {
      const id = formatSpiffeId(identity)
      if (closed) throw new Error('the agent is closing')
      const one = held.get(id) ?? begin(identity, id)
      one.holds++
      let released = false
      return {
        ready: one.ready,
        release: () => {
          if (released) return
          released = true
          one.holds--
          if (one.holds === 0) clock.after(lingerMs, () => drop(id, one))
        },
      }
    },
    updateBundle: (trustBundlePem) => {
      bundle = trustBundlePem
      for (const [id, one] of held) updateOne(one, id)
    },
    list: () => [...held].map(([id, { holds, keeper }]) => ({ id, holds, notBeforeMs: keeper?.current().notBeforeMs, notAfterMs: keeper?.current().notAfterMs })),
    close: () => {
      closed = true
      for (const { giveUp, keeper } of held.values()) {
        giveUp.abort(new Error('the agent is closing'))
        keeper?.close()
      }
    },
  }
}
