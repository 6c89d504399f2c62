import { X509Certificate } from 'node:crypto'
import type { CaState } from '../../../ca/bundle.ts'
import { signingAuthority } from '../../../ca/bundle.ts'
import type { RotationState, RotationStep } from '../../../ca/rotate.ts'

/** How the CA stands, for everybody to read: no keys, and nothing that changes while nothing happens. */
export interface CaInfo {
  readonly trustDomain: string
  readonly phase: RotationState['phase']
  /** How many roots were replaced so far. */
  readonly generation: number
  /** When the phase began, milliseconds since the epoch. */
  readonly sinceMs: number
  /** The step that is next in a rotation that is under way, and the earliest time for it, milliseconds since the epoch. */
  readonly next?: { readonly step: RotationStep; readonly atMs: number }
  /** Oldest first. */
  readonly roots: readonly RootInfo[]
  /** The Secret from which the mesh's root comes, if it does not make its own. */
  readonly ownSecret?: string
  readonly problems: readonly string[]
}

/** A trusted root. */
export interface RootInfo {
  /** SHA-256, hex. */
  readonly fingerprint: string
  /** Milliseconds since the epoch. */
  readonly notAfterMs: number
  readonly signs: boolean
}

/** @param settleMs how long a phase of a rotation stands: one SVID lifetime */
export function describeCa(state: CaState, options: { readonly settleMs: number; readonly ownSecret?: string | undefined; readonly problems: readonly string[] }): CaInfo {
  const { phase, generation, sinceMs, signing } = state.rotation
  const step = nextStep(state.rotation)
  return {
    trustDomain: state.trustDomain,
    phase,
    generation,
    sinceMs,
    ...(step === undefined ? {} : { next: { step, atMs: sinceMs + options.settleMs } }),
    roots: state.authorities.map(({ id, rootPem }) => ({ fingerprint: id, notAfterMs: new X509Certificate(rootPem).validToDate.getTime(), signs: id === signing })),
    ...(options.ownSecret === undefined ? {} : { ownSecret: options.ownSecret }),
    problems: options.problems,
  }
}

/** The step that a rotation which is under way takes next. */
export function nextStep({ phase }: Pick<RotationState, 'phase'>): 'sign' | 'retire' | undefined {
  return phase === 'introduced' ? 'sign' : phase === 'signing' ? 'retire' : undefined
}

const day = 86_400_000

/**
 * Which certificates of the signing chain end soon: a fifth of their life is left, or 30 days (of certificates that live less than 90 days, a third of
 * their life).
 * @param remedy what the reader can do
 */
export function endingSoon(state: CaState, nowMs: number, remedy: string): readonly string[] {
  const { rootPem, intermediatesPem } = signingAuthority(state)
  const chain = `${intermediatesPem}${rootPem}`.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return chain.flatMap((pem) => {
    const certificate = new X509Certificate(pem)
    const [startMs, endMs] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()]
    const lifeMs = endMs - startMs
    const noticeMs = Math.max(0.2 * lifeMs, Math.min(30 * day, lifeMs / 3))
    if (endMs - nowMs >= noticeMs) return []
    return [`the CA's certificate ${certificate.subject.replaceAll('\n', ', ')} ${nowMs > endMs ? 'ended' : 'ends'} at ${certificate.validToDate.toISOString()}: ${remedy}`]
  })
}

/** Reads what `rotation.json` says. @returns undefined if it is not what this version of the controller writes */
export function parseInfo(text: string | undefined): CaInfo | undefined {
  try {
    const value = JSON.parse(text ?? '') as Partial<CaInfo> | null
    const whole = typeof value?.trustDomain === 'string' && ['steady', 'introduced', 'signing'].includes(value.phase ?? '') && typeof value.generation === 'number' &&
      typeof value.sinceMs === 'number' && areRoots(value.roots) && Array.isArray(value.problems) && value.problems.every((each) => typeof each === 'string')
    return whole ? (value as CaInfo) : undefined
  } catch {
    return undefined
  }
}

function areRoots(value: unknown): boolean {
  return Array.isArray(value) && value.every((each: Partial<RootInfo> | null) => typeof each?.fingerprint === 'string' && typeof each.notAfterMs === 'number')
}
