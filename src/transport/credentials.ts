import { X509Certificate, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { backoffMs } from '../kit/backoff.ts'
import type { Cancel, Clock } from '../kit/clock.ts'
import type { CredentialSource, Credentials, Issued } from '../model/credentials.ts'
import type { Identity } from '../model/identity.ts'
import { formatSpiffeId, sameIdentity } from '../model/identity.ts'
import { certificatesInPem, checkSvid, parseTrustBundle } from './svid.ts'

export interface KeepOptions {
  readonly identity: Identity
  /** Asks the CA for an SVID over this public key (SubjectPublicKeyInfo, PEM). */
  readonly fetch: (publicKeyPem: string) => Promise<Issued>
  readonly clock: Clock
  /** From 0 up to, not including, 1; default `Math.random`. */
  readonly random?: () => number
  /** Told of every failure; the present credentials serve on, and a new try follows by itself. */
  readonly onError: (error: Error) => void
  /** Gives up the wait for the first credentials. */
  readonly signal?: AbortSignal
  /** Credentials from before, used if a peer would still accept them: then there is no wait for the first ones. */
  readonly initial?: Credentials | undefined
  /** How long one `fetch` may take, milliseconds; default 10 s. */
  readonly fetchTimeoutMs?: number
}

/** Credentials that renew themselves. */
export interface CredentialKeeper extends CredentialSource {
  /** Renews now; while a renewal runs, it is that one. @throws if it fails; the next try follows by itself all the same */
  readonly refresh: () => Promise<void>
  /**
   * Replaces the trusted roots, PEM, as soon as the CA has others; if they no longer cover the present SVID, it is renewed at once.
   * @throws if `trustBundlePem` is not a trust bundle; the present one stays
   */
  readonly updateBundle: (trustBundlePem: readonly string[]) => void
  /** Stops renewing. What is current stays current. */
  readonly close: () => void
}

/** Pauses between failed tries, milliseconds: short beside the half life of an hour that is left for them. */
export const retryPauses = { baseMs: 1000, maxMs: 60_000 } as const

/** Keeps SVIDs of a few seconds, as tests may have them, from asking without end. */
const leastRenewalMs = 1000
/** A timer of Node overflows after 24.8 days. */
const mostRenewalMs = 86_400_000

/**
 * Obtains credentials for `identity` and keeps them fresh: a new key for each SVID, renewal when about half of its time is over.
 * What the CA answers is used only if every peer with the same bundle would accept it.
 * @returns when the first credentials are there, at once with usable `initial` ones; until then it tries again and again
 * @throws the reason of `signal`, and nothing else
 */
export async function keepCredentials(options: KeepOptions): Promise<CredentialKeeper> {
  const { identity, clock, onError, signal } = options
  const random = options.random ?? Math.random
  const listeners = new Set<(credentials: Credentials) => void>()
  let current: Credentials | undefined
  let pushed: readonly string[] | undefined
  let running: Promise<void> | undefined
  let cancel: Cancel = () => {}
  let failures = 0
  let closed = false
  // Asked through a function because it changes across awaits.
  const isClosed = (): boolean => closed

  const replace = (next: Credentials): void => {
    current = next
    for (const listener of [...listeners]) guarded(() => listener(next), onError)
  }

  /** Renewal when about half of the time that is left is over. */
  const scheduleRenewal = (credentials: Credentials): void =>
    schedule(Math.max(leastRenewalMs, (credentials.notAfterMs - clock.now()) * (0.45 + 0.1 * random())))

  const renew = async (): Promise<void> => {
    pushed = undefined
    cancel()
    try {
      const next = await obtain(options, () => pushed)
      if (isClosed()) return
      failures = 0
      scheduleRenewal(next)
      replace(next)
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error))
      if (!isClosed()) {
        failures++
        schedule(backoffMs(failures, { ...retryPauses, random }))
        guarded(() => onError(reason), () => {})
      }
      throw reason
    }
  }
  const refresh = (): Promise<void> => (running ??= renew().finally(() => (running = undefined)))
  // Its failure has gone to onError.
  const refreshInBackground = (): void => void refresh().catch(() => {})
  const schedule = (delayMs: number): void => {
    cancel = clock.after(Math.min(mostRenewalMs, delayMs), refreshInBackground)
  }
  const close = (): void => {
    closed = true
    cancel()
  }

  const { initial } = options
  const usable = initial !== undefined && sameIdentity(initial.identity, identity) && checked(() => problemWith(initial, clock.now()) === undefined)
  if (usable) {
    current = initial
    scheduleRenewal(initial)
  }

  const first = usable ? Promise.resolve() : new Promise<void>((resolve, reject) => {
    listeners.add(() => resolve())
    const abort = (): void => {
      close()
      reject(signal?.reason instanceof Error ? signal.reason : new Error('the wait for the first credentials was given up'))
    }
    listeners.add(() => signal?.removeEventListener('abort', abort))
    signal?.addEventListener('abort', abort, { once: true })
    if (signal?.aborted === true) abort()
    else refreshInBackground()
  })
  await first
  listeners.clear()

  return {
    identity,
    current: () => {
      if (current === undefined) throw new Error(`no credentials for ${formatSpiffeId(identity)} yet`)
      return current
    },
    onChange: (listener) => {
      const own: typeof listener = (credentials) => listener(credentials)
      listeners.add(own)
      return () => listeners.delete(own)
    },
    refresh: () => (closed ? Promise.reject(new Error('these credentials are closed')) : refresh()),
    updateBundle: (trustBundlePem) => {
      parseTrustBundle(trustBundlePem)
      pushed = trustBundlePem
      if (closed || current === undefined || trustBundlePem.join() === current.trustBundlePem.join()) return
      replace({ ...current, trustBundlePem })
      if (problemWith(current, clock.now()) !== undefined) refreshInBackground()
    },
    close,
  }
}

/** @param pushed the bundle that came by itself while the CA was asked: every change comes that way, so it is not older than the answer's */
async function obtain(options: KeepOptions, pushed: () => readonly string[] | undefined): Promise<Credentials> {
  const { identity, clock } = options
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: 'prime256v1',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const issued = await withTimeout(() => options.fetch(publicKey), clock, options.fetchTimeoutMs ?? 10_000)
  const { certificateChainPem, notBeforeMs, notAfterMs, sharedSecret } = issued
  const shared = sharedSecret === undefined ? {} : { sharedSecret }
  const next = {
    ...shared,
    identity, privateKeyPem: privateKey, certificateChainPem, trustBundlePem: pushed() ?? issued.trustBundlePem, notBeforeMs, notAfterMs,
  }
  const problem = problemWith(next, clock.now())
  if (problem !== undefined) throw new Error(`the CA's answer for ${formatSpiffeId(identity)} can not be used: ${problem}`)
  return next
}

/** Why a peer that trusts the same bundle would refuse these credentials. */
function problemWith(credentials: Credentials, nowMs: number): string | undefined {
  const { identity } = credentials
  const chain = certificatesInPem(credentials.certificateChainPem)
  const bundle = parseTrustBundle(credentials.trustBundlePem)
  for (const usage of ['client', 'server'] as const) {
    const verdict = checkSvid(chain, bundle, { trustDomain: identity.trustDomain, nowMs, usage })
    if (!verdict.ok) return `${verdict.code}: ${verdict.message}; ${verdict.advice}`
    if (verdict.notAfterMs < credentials.notAfterMs) return `it is valid until ${new Date(verdict.notAfterMs).toISOString()} only, sooner than was said`
    if (!sameIdentity(verdict.identity, identity)) return `it is for ${formatSpiffeId(verdict.identity)}`
  }
  const ours = createPublicKey(credentials.privateKeyPem).export({ type: 'spki', format: 'der' })
  const theirs = new X509Certificate(credentials.certificateChainPem).publicKey.export({ type: 'spki', format: 'der' })
  return ours.equals(theirs) ? undefined : 'it is for another key'
}

function withTimeout<T>(work: () => Promise<T>, clock: Clock, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(timeoutMs, () => reject(new Error(`the CA did not answer within ${timeoutMs} ms`)))
    work().then(resolve, reject).finally(cancel)
  })
}

/** Whether something that may not even be readable holds. */
function checked(holds: () => boolean): boolean {
  try {
    return holds()
  } catch {
    return false
  }
}

function guarded(work: () => void, onError: (error: Error) => void): void {
  try {
    work()
  } catch (error) {
    onError(error instanceof Error ? error : new Error(String(error)))
  }
}
