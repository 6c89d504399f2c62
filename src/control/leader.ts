import type { Cancel, Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import { printable } from '../kit/printable.ts'
import type { KubeClient } from '../kube/client.ts'
import { isStatus } from '../kube/errors.ts'
import type { KubeObject } from '../kube/object.ts'
import { microTime } from '../status/text.ts'
import { decideLease, readLease, type LeaseRecord } from './leader-decide.ts'

export interface LeaderOptions {
  readonly client: Pick<KubeClient, 'read' | 'create' | 'replace' | 'refresh'>
  readonly clock: Clock
  /** A number from 0 up to, not including, 1; default `Math.random`. */
  readonly random?: () => number
  /** Of the Lease. */
  readonly namespace: string
  readonly name: string
  /** Unlike that of all other electors: the pod's name. */
  readonly identity: string
  /** How long others wait for a holder of which they see nothing; default 15,000. */
  readonly leaseDurationMs?: number
  /** How long after it began its last good renewal a holder still leads; default 10,000. What is left of the lease covers what is on the wire. */
  readonly renewDeadlineMs?: number
  /** Between tries; default 2000. */
  readonly retryMs?: number
  /** Called when leadership changes; the first call is with `true`. */
  readonly onChange: (leading: boolean) => void
  readonly log: (line: string) => void
}

/** An elector that runs. */
export interface LeaderElection {
  /** Whether this process leads now. */
  readonly leading: () => boolean
  /** Who held the lease when it was last read; undefined: nobody, or it is not known. */
  readonly holder: () => string | undefined
  /** Stops leading, then gives the lease up, so that another takes it at its next try. */
  readonly close: () => Promise<void>
}

/** A renewal that went well, or is under way. */
interface Term {
  /** The time for which it makes a leader is over. */
  lapsed: boolean
  readonly sentMs: number
  readonly cancel: Cancel
}

/**
 * Competes for a Lease. Durations are measured by timers, which do not follow the wall clock when it is set; the times written into
 * the lease are for people. Every write carries the version that was read, so a write that comes late changes nothing. Two can lead
 * at once only if somebody deletes the lease and an elector that never saw it makes it anew, for as long as the old leader takes to notice.
 * @throws if the durations do not leave a leader time to stop before another begins
 */
export function startLeaderElection(options: LeaderOptions): LeaderElection {
  const { client, clock, random = Math.random, namespace, name, identity, onChange, log } = options
  const { leaseDurationMs = 15_000, renewDeadlineMs = 10_000, retryMs = 2_000 } = options
  if (!(retryMs * 1.2 < renewDeadlineMs && renewDeadlineMs < leaseDurationMs) || identity === '') {
    throw new Error('leader election needs an identity and retryMs × 1.2 < renewDeadlineMs < leaseDurationMs')
  }
  const ref = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace, name }
  // A try that gets no answer is given up while there is time for another one.
  const tryMs = Math.max(retryMs, renewDeadlineMs / 2)
  let closed = false
  let term: Term | undefined
  /** The lease as read or written last; undefined: it must be read. */
  let held: KubeObject | undefined
  let holder: string | undefined
  let seen = ''
  let believer: { readonly identity: string; readonly cancel: Cancel } | undefined
  let tryNumber = 0
  let timer: Cancel | undefined
  let underWay: Promise<void> | undefined
  let trouble = ''

  // The timer does not follow a clock that is set; the clock goes on while the machine sleeps. Either ends a term.
  const lasts = ({ lapsed, sentMs }: Term): boolean => !lapsed && clock.now() - sentMs < renewDeadlineMs
  const leads = (): boolean => term !== undefined && lasts(term)

  const lose = (why: string): void => {
    if (term === undefined) return
    term.cancel()
    term = undefined
    log(`no longer the leader: ${why}`)
    onChange(false)
  }

  const begin = (): Term => {
    const begun: Term = {
      lapsed: false,
      sentMs: clock.now(),
      cancel: clock.after(renewDeadlineMs, () => {
        begun.lapsed = true
        if (term === begun) lose(`the lease could not be renewed for ${renewDeadlineMs / 1000} s`)
      }),
    }
    return begun
  }

  const observe = (lease: KubeObject | undefined): LeaseRecord | undefined => {
    held = lease
    if (lease === undefined) {
      holder = undefined
      seen = ''
      return undefined
    }
    const record = readLease(lease['spec'], leaseDurationMs)
    holder = record.holder === '' ? undefined : record.holder
    const now = JSON.stringify(record)
    if (now === seen) return record
    seen = now
    believer?.cancel()
    believer = holder === undefined ? undefined : { identity: holder, cancel: clock.after(record.durationMs, () => (believer = undefined)) }
    return record
  }

  /** Writes the lease as ours, or as nobody's. @throws KubeError */
  const write = async (lease: KubeObject | undefined, record: LeaseRecord | undefined, holderIdentity: string): Promise<KubeObject> => {
    const now = microTime(clock.now())
    const same = record?.holder === identity
    const spec = {
      ...(lease?.['spec'] as object | undefined),
      holderIdentity,
      leaseDurationSeconds: holderIdentity === '' ? 1 : Math.ceil(leaseDurationMs / 1000),
      acquireTime: same && record.acquireTime !== '' ? record.acquireTime : now,
      renewTime: now,
      leaseTransitions: same ? record.transitions : (record?.transitions ?? -1) + 1,
    }
    if (lease === undefined) return client.create({ apiVersion: ref.apiVersion, kind: ref.kind, metadata: { name, namespace }, spec })
    return client.replace({ ...lease, apiVersion: ref.apiVersion, kind: ref.kind, spec })
  }

  /** One try, up to two if the lease has changed since it was read. @param current whether this try was not given up meanwhile */
  const attempt = async (current: () => boolean): Promise<void> => {
    for (let tries = 0; tries < 2; tries++) {
      if (!leads()) lose('the clock says that the lease was not renewed in time')
      const begun = begin()
      let writing = false
      try {
        const lease = term !== undefined && held !== undefined ? held : await client.read(ref)
        if (!current()) return
        const record = observe(lease)
        if (record?.holder !== identity) lose(lease === undefined ? 'the lease was deleted' : `${holder ?? 'nobody'} holds the lease`)
        if (decideLease({ lease: record, believer: believer?.identity, identity }) === 'wait') return
        writing = true
        const answer = await write(lease, record, identity)
        if (!current()) return
        observe(answer)
        // An answer that took this long may be about a lease that others believe to be over.
        if (!lasts(begun)) return
        hold(begun)
        return
      } catch (error) {
        if (!current()) return
        held = undefined
        if (!writing || !isStatus(error, 404, 409)) {
          // Who holds it now is not known: after a conflict that is reason enough to stop.
          if (tries > 0) lose('the lease was changed by another, and can not be read')
          throw error
        }
      } finally {
        if (term !== begun) begun.cancel()
      }
    }
  }

  const hold = (begun: Term): void => {
    const before = term
    term = begun
    before?.cancel()
    if (before !== undefined) return
    log(`the leader now: ${identity} holds the lease ${namespace}/${name}`)
    onChange(true)
  }

  const next = (): void => {
    timer?.()
    if (!closed) timer = clock.after(retryMs * (1 + 0.2 * random()), run)
  }

  const run = (): void => {
    const mine = ++tryNumber
    const current = (): boolean => mine === tryNumber && !closed
    timer = clock.after(tryMs, () => {
      tryNumber++
      held = undefined
      report(`no answer within ${tryMs / 1000} s`)
      run()
    })
    underWay = attempt(current).then(
      () => {
        underWay = undefined
        if (!current()) return
        if (trouble !== '') log('leader election: the API server answers again')
        trouble = ''
        next()
      },
      (error: unknown) => {
        underWay = undefined
        if (!current()) return
        if (isStatus(error, 401)) client.refresh()
        report(messageOf(error), isStatus(error, 403))
        next()
      },
    )
  }

  const report = (message: string, forbidden = false): void => {
    if (message === trouble) return
    trouble = message
    const advice = forbidden ? `; the service account must get, create and update leases in namespace ${namespace}: waymark check names what is missing` : ''
    log(`leader election: ${printable(message)}${advice}`)
  }

  const release = async (): Promise<void> => {
    // What was on the wire may still change the lease.
    await underWay
    const lease = await client.read(ref)
    if (lease === undefined) return
    const record = readLease(lease['spec'], leaseDurationMs)
    if (record.holder === identity) await write(lease, record, '')
  }

  const close = async (): Promise<void> => {
    if (closed) return
    closed = true
    timer?.()
    believer?.cancel()
    const mayHold = term !== undefined || holder === identity || underWay !== undefined
    lose('this process ends')
    if (!mayHold) return
    let cancel: Cancel | undefined
    const late = new Promise<never>((_, reject) => {
      cancel = clock.after(tryMs, () => reject(new Error(`no answer within ${tryMs / 1000} s`)))
    })
    try {
      await Promise.race([release(), late])
    } catch (error) {
      log(`the lease was not given up, others wait until it ends: ${printable(messageOf(error))}`)
    }
    cancel?.()
  }

  run()
  return { leading: leads, holder: () => holder, close }
}
