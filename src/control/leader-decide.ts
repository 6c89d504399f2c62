/** What a Lease says. Times are the writer's own and of no use to others. Source: coordination.k8s.io/v1 LeaseSpec. */
export interface LeaseRecord {
  /** '' : nobody holds it. */
  readonly holder: string
  readonly durationMs: number
  readonly acquireTime: string
  readonly renewTime: string
  readonly transitions: number
}

/** What an elector knows of a lease beyond what it has just read. */
export interface LeaseView {
  /** As it was read just now; undefined: there is none. */
  readonly lease: LeaseRecord | undefined
  /**
   * Who, so far as was seen here, may still believe to hold it: the holder of the last change, until its duration has passed on
   * the local clock since the change was seen. Undefined: nobody can.
   */
  readonly believer: string | undefined
  readonly identity: string
}

/** What to do: `take` and `renew` write the lease, `create` makes it, `wait` leaves it to its holder. */
export type LeaseStep = 'create' | 'take' | 'renew' | 'wait'

/**
 * What to do with a lease. Only what was observed here counts, no clock of another machine: a holder that was seen to write is
 * waited for as long as its lease lasts from then, also if the lease was deleted meanwhile.
 */
export function decideLease({ lease, believer, identity }: LeaseView): LeaseStep {
  if (lease === undefined) return believer === undefined || believer === identity ? 'create' : 'wait'
  if (lease.holder === identity) return 'renew'
  if (lease.holder === '') return 'take'
  return believer === undefined ? 'take' : 'wait'
}

/** Reads a Lease that anyone may have written. @param fallbackMs duration if it has none, and the least */
export function readLease(spec: unknown, fallbackMs: number): LeaseRecord {
  const fields = typeof spec === 'object' && spec !== null ? (spec as Readonly<Record<string, unknown>>) : {}
  const text = (name: string): string => (typeof fields[name] === 'string' ? fields[name] : '')
  const number = (name: string): number => (typeof fields[name] === 'number' && fields[name] > 0 ? fields[name] : 0)
  return {
    holder: text('holderIdentity'),
    durationMs: Math.max(fallbackMs, number('leaseDurationSeconds') * 1000),
    acquireTime: text('acquireTime'),
    renewTime: text('renewTime'),
    transitions: number('leaseTransitions'),
  }
}
