import { hkdfSync } from 'node:crypto'
import type { Clock } from '../src/kit/clock.ts'
import type { Issued } from '../src/model/credentials.ts'
import type { Identity } from '../src/model/identity.ts'
import { formatSpiffeId, isTrustDomain } from '../src/model/identity.ts'
import type { CaState } from './bundle.ts'
import { signingAuthority, trustBundle, withRotation } from './bundle.ts'
import { toPem } from './der.ts'
import { CaError } from './errors.ts'
import { issueSvid, readPublicKey } from './issue.ts'
import type { Authority } from './root.ts'
import { backdateMs, makeRoot, randomSerial } from './root.ts'
import type { RotationState, RotationStep } from './rotate.ts'
import { introduce, retire, signWithNew, startRotation } from './rotate.ts'
import type { CaStore } from './store.ts'

/** How long an SVID is valid unless told otherwise. */
export const svidLifetimeMs = 3_600_000

export interface CaOptions {
  readonly store: CaStore
  readonly trustDomain: string
  readonly clock: Clock
  /** Default one hour. */
  readonly svidLifetimeMs?: number
  /** Makes the root of an empty store, and those that a rotation introduces; default `makeRoot`. */
  readonly newRoot?: () => Authority | Promise<Authority>
}

/** The CA of one mesh. It believes its caller about the identity: who may ask for which one is decided before. */
export interface Ca {
  readonly trustDomain: string
  /**
   * @param publicKeyPem a P-256 key, BEGIN PUBLIC KEY
   * @throws {CaError} `bad-public-key`, `bad-identity`, `authority-expired`
   */
  readonly issue: (identity: Identity, publicKeyPem: string) => Promise<Issued>
  /** The roots to trust now, PEM. */
  readonly bundle: () => readonly string[]
  /** Calls `listener` with each new bundle; the answer stops that. */
  readonly onBundleChange: (listener: (trustBundlePem: readonly string[]) => void) => () => void
  /**
   * Takes one step of replacing the root; a step that was already taken changes nothing. Steps run one after the other.
   * @param options `force` skips the wait of one SVID lifetime before `sign` and `retire`
   * @throws {CaError} `rotation-order`, `rotation-too-early`; what the store throws: then nothing has changed
   */
  readonly rotate: (step: RotationStep, options?: { readonly force?: boolean }) => Promise<RotationState>
  readonly rotation: () => RotationState
  /** Everything, keys too: for whoever keeps the store. */
  readonly state: () => CaState
  /**
   * Goes on from a state that another process kept in the same store, or that was kept there in another way than by `rotate`.
   * Whether it may follow on the present one is judged before, by `whyNotNext`.
   * @throws {CaError} `store-mismatch`
   */
  readonly adopt: (state: CaState) => Promise<void>
}

/**
 * Opens the CA that `store` holds, or makes a new root there if it never held one.
 * @throws {CaError} if the store holds anything but this trust domain's whole CA
 */
export async function createCa(options: CaOptions): Promise<Ca> {
  const { store, trustDomain, clock } = options
  const lifetimeMs = options.svidLifetimeMs ?? svidLifetimeMs
  const newRoot = options.newRoot ?? (() => makeRoot(trustDomain, { nowMs: clock.now() }))
  if (!isTrustDomain(trustDomain)) throw new CaError('bad-identity', `${JSON.stringify(trustDomain)} can not be a trust domain`)
  let state = (await store.load()) ?? (await store.create(firstState(trustDomain, await newRoot(), clock.now())))
  checkTrustDomain(state, trustDomain)
  const listeners = new Set<(trustBundlePem: readonly string[]) => void>()
  let last: Promise<unknown> = Promise.resolve()

  const become = (next: CaState): void => {
    const changed = trustBundle(next).join() !== trustBundle(state).join()
    state = next
    const failures: unknown[] = []
    if (changed) {
      for (const listener of [...listeners]) {
        // There is no second time: whoever misses the new bundle because of another one would never hear of it.
        try {
          listener(trustBundle(next))
        } catch (error) {
          failures.push(error)
        }
      }
    }
    if (failures.length > 0) throw failures[0]
  }

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = last.then(work)
    last = done.catch(() => undefined)
    return done
  }

  const step = async (name: RotationStep, force: boolean): Promise<RotationState> => {
    const before = state
    const next = await nextState(before, name, { nowMs: clock.now(), settleMs: lifetimeMs, force, newRoot })
    if (next === before) return before.rotation
    await store.save(next)
    become(next)
    return next.rotation
  }

  return {
    trustDomain,
    issue: async (identity, publicKeyPem) => Promise.resolve(issue(state, identity, publicKeyPem, { nowMs: clock.now(), lifetimeMs })),
    bundle: () => trustBundle(state),
    onBundleChange: (listener) => {
      // A wrapper, so that the same function may listen twice and each of its answers stops one of them.
      const own: typeof listener = (pems) => listener(pems)
      listeners.add(own)
      return () => listeners.delete(own)
    },
    rotate: (name, { force = false } = {}) => inTurn(() => step(name, force)),
    rotation: () => state.rotation,
    state: () => state,
    adopt: (next) =>
      inTurn(() => {
        checkTrustDomain(next, trustDomain)
        become(next)
        return Promise.resolve()
      }),
  }
}

function checkTrustDomain(state: CaState, trustDomain: string): void {
  if (state.trustDomain !== trustDomain) throw new CaError('store-mismatch', `the store belongs to the trust domain ${state.trustDomain}, not ${trustDomain}`)
}

function firstState(trustDomain: string, root: Authority, nowMs: number): CaState {
  return { trustDomain, rotation: startRotation(root.id, nowMs), authorities: [root] }
}

interface StepOptions {
  readonly nowMs: number
  readonly settleMs: number
  readonly force: boolean
  readonly newRoot: () => Authority | Promise<Authority>
}

async function nextState(state: CaState, step: RotationStep, options: StepOptions): Promise<CaState> {
  if (step === 'introduce') {
    if (state.rotation.phase === 'introduced') return state
    const root = await options.newRoot()
    return withRotation(state, introduce(state.rotation, root.id, options.nowMs), [root])
  }
  const rotation = step === 'sign' ? signWithNew(state.rotation, options) : retire(state.rotation, options)
  return rotation === state.rotation ? state : withRotation(state, rotation)
}

function issue(state: CaState, identity: Identity, publicKeyPem: string, { nowMs, lifetimeMs }: { nowMs: number; lifetimeMs: number }): Issued {
  if (identity.trustDomain !== state.trustDomain) throw new CaError('bad-identity', `the trust domain ${identity.trustDomain} is not this CA's, ${state.trustDomain}`)
  const authority = signingAuthority(state)
  // Certificates know whole seconds only: what is announced is what they say.
  const notBeforeMs = Math.floor((nowMs - backdateMs) / 1000) * 1000
  const notAfterMs = Math.floor(Math.min(nowMs + lifetimeMs, authority.notAfterMs) / 1000) * 1000
  if (notAfterMs <= nowMs) throw new CaError('authority-expired', `the CA's certificates were valid until ${new Date(authority.notAfterMs).toISOString()}`)
  const der = issueSvid(authority, { identity, publicKey: readPublicKey(publicKeyPem), notBeforeMs, notAfterMs, serial: randomSerial() })
  return { certificateChainPem: toPem('CERTIFICATE', der) + authority.intermediatesPem, trustBundlePem: trustBundle(state), sharedSecret: sharedSecret(authority, identity), notBeforeMs, notAfterMs }
}

/** Derived from the key that signs, so that every controller gives the same one and none has to be kept. Source: RFC 5869. */
function sharedSecret({ key }: Authority, identity: Identity): string {
  const secret = key.export({ type: 'pkcs8', format: 'der' })
  return Buffer.from(hkdfSync('sha256', secret, 'waymark', `shared secret of ${formatSpiffeId(identity)}`, 32)).toString('base64')
}
