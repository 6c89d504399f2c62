import type { Clock } from '../../kit/clock.ts'
import { fakeClock, type FakeClock } from '../../kit/testing/fake-clock.ts'
import { KubeError } from '../../kube/errors.ts'
import type { KubeObject } from '../../kube/object.ts'
import { startLeaderElection, type LeaderElection, type LeaderOptions } from '../leader.ts'

/** What becomes of a request on its way to the API server and back. */
export interface Way {
  readonly thereMs: number
  readonly backMs: number
  /** `lost`: it never comes there. `unanswered`: it is done, and its answer is lost. */
  readonly fate: 'arrives' | 'lost' | 'unanswered'
}

/** One Lease behind a network that loses and delays, in simulated time. */
export interface LeaseWorld {
  readonly lease: () => KubeObject | undefined
  readonly set: (lease: KubeObject | undefined) => void
  /** Specs as they were written. */
  readonly written: readonly unknown[]
  /** Starts an elector with a wall clock of its own, `skewMs` ahead. */
  readonly join: (identity: string, skewMs?: number, options?: Partial<LeaderOptions>) => Member
  /** Lets time pass, for all members that are not paused. */
  readonly pass: (ms: number) => Promise<void>
}

export interface Member {
  readonly election: LeaderElection
  readonly changes: boolean[]
  readonly log: string[]
  /** As if the machine were suspended, or (for good) the process dead. */
  paused: boolean
  /** What the wall clock is ahead. */
  skewMs: number
}

export const stepMs = 100

/** @param way of the next request of an elector */
export function leaseWorld(way: (identity: string) => Way = () => ({ thereMs: 0, backMs: 0, fate: 'arrives' })): LeaseWorld {
  const network = fakeClock()
  const members: { readonly member: Member; readonly clock: FakeClock }[] = []
  const written: unknown[] = []
  let stored: KubeObject | undefined
  let version = 0

  const call = <T>(identity: string, act: () => T): Promise<T> => new Promise((resolve, reject) => {
    const { thereMs, backMs, fate } = way(identity)
    const lose = (): void => reject(new KubeError(0, '', 'the connection was reset'))
    const answer = (give: () => void): unknown => (backMs === 0 ? give() : network.after(backMs, give))
    const arrive = (): void => {
      if (fate === 'lost') return void answer(lose)
      try {
        const result = act()
        answer(fate === 'unanswered' ? lose : () => resolve(result))
      } catch (error) {
        answer(fate === 'unanswered' ? lose : () => reject(error instanceof Error ? error : new Error(String(error))))
      }
    }
    if (thereMs === 0) arrive()
    else network.after(thereMs, arrive)
  })

  const store = (lease: KubeObject): KubeObject => {
    stored = { ...lease, metadata: { ...lease.metadata, resourceVersion: String(++version) } }
    written.push(lease['spec'])
    return stored
  }

  const flush = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

  return {
    lease: () => stored,
    set: (lease) => (stored = lease === undefined ? undefined : { ...lease, metadata: { ...lease.metadata, resourceVersion: String(++version) } }),
    written,
    join: (identity, skewMs = 0, options = {}) => {
      const ticks = fakeClock(1_700_000_000_000)
      const changes: boolean[] = []
      const log: string[] = []
      const state = { paused: false, skewMs }
      const clock: Clock = { now: () => ticks.now() + state.skewMs, after: ticks.after }
      const election = startLeaderElection({
        clock, namespace: 'system', name: 'controller', identity, random: () => 0.5,
        onChange: (leading) => void changes.push(leading), log: (line) => void log.push(line),
        client: {
          refresh: () => {},
          read: () => call(identity, () => stored),
          create: (lease) => call(identity, () => {
            if (stored !== undefined) throw new KubeError(409, 'AlreadyExists', 'it exists')
            return store(lease)
          }),
          replace: (lease) => call(identity, () => {
            if (stored === undefined) throw new KubeError(404, 'NotFound', 'it is not there')
            if (lease.metadata.resourceVersion !== stored.metadata.resourceVersion) throw new KubeError(409, 'Conflict', 'it has changed')
            return store(lease)
          }),
        },
        ...options,
      })
      const member: Member = Object.assign(state, { election, changes, log })
      members.push({ member, clock: ticks })
      return member
    },
    pass: async (ms) => {
      await flush()
      for (let passed = 0; passed < ms; passed += stepMs) {
        network.advance(stepMs)
        await flush()
        for (const { member, clock } of members) {
          if (member.paused) member.skewMs += stepMs
          else clock.advance(stepMs)
        }
        await flush()
      }
    },
  }
}
