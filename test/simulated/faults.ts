import type { ApiRequest } from './requests.ts'

/** How requests go wrong. */
export interface Fault {
  /** Which requests; default: all. */
  readonly on?: (request: ApiRequest) => boolean
  /** How many of them; default: all until removed. */
  readonly times?: number
  /** Milliseconds of waiting first. */
  readonly delayMs?: number
  /** Answer with this status in place of doing it. */
  readonly status?: number
  /** `reason` of that status. */
  readonly reason?: string
  /** `Retry-After` of that status, seconds. */
  readonly retryAfter?: number
  /** `reset`: the connection is broken off. `hang`: no answer ever comes. */
  readonly instead?: 'reset' | 'hang'
}

/** The faults that are set. */
export interface Faults {
  /** @returns takes the fault away again */
  readonly add: (fault: Fault) => () => void
  /** The fault that this request meets, which is used up by that. */
  readonly meet: (request: ApiRequest) => Fault | undefined
  readonly clear: () => void
}

export function createFaults(): Faults {
  const faults = new Map<Fault, { left: number }>()
  return {
    add: (fault) => {
      faults.set(fault, { left: fault.times ?? Infinity })
      return () => faults.delete(fault)
    },
    meet: (request) => {
      for (const [fault, state] of faults) {
        if (fault.on !== undefined && !fault.on(request)) continue
        state.left--
        if (state.left <= 0) faults.delete(fault)
        return fault
      }
      return undefined
    },
    clear: () => faults.clear(),
  }
}
