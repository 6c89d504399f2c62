import { withAuthority, type CaState } from '../../../ca/bundle.ts'
import { CaError } from '../../../ca/errors.ts'
import { whyNotNext } from '../../../ca/follow.ts'
import { makeRoot, type Authority } from '../../../ca/root.ts'
import type { RotationState } from '../../../ca/rotate.ts'
import { createCa, svidLifetimeMs, type Ca } from '../../../ca/server.ts'
import { backoffMs } from '../../kit/backoff.ts'
import type { Cancel, Clock } from '../../kit/clock.ts'
import { messageOf } from '../../kit/message.ts'
import type { KubeClient } from '../../kube/client.ts'
import { install } from '../../model/install.ts'
import type { WatchObserver } from '../../sources/kube/observer.ts'
import { describeCa, endingSoon, type CaInfo } from './info.ts'
import { ownAuthority, type OwnAuthority } from './own-authority.ts'
import { planRotation, readWish, type Wish } from './plan.ts'
import { secretStore, type Kept } from './secret-store.ts'
import { watchSecret } from './watch.ts'

export interface ClusterCaOptions {
  readonly client: KubeClient
  readonly clock: Clock
  /** From 0 up to, not including, 1; default `Math.random`. */
  readonly random?: () => number
  /** The controller's. */
  readonly namespace: string
  readonly trustDomain: string
  /** Default one hour; also how long each phase of a rotation stands. */
  readonly svidLifetimeMs?: number
  /** A Secret of the same namespace and of type `kubernetes.io/tls` from which the root, or an intermediate with its root, comes. */
  readonly ownSecret?: string | undefined
  /** One line for a person. */
  readonly log: (line: string) => void
  /** Something that belongs into an Event on the Secret `waymark-ca`. */
  readonly onEvent?: (event: CaEvent) => void
  readonly observer?: WatchObserver
}

export interface CaEvent {
  readonly type: 'Normal' | 'Warning'
  readonly reason: 'RootIntroduced' | 'RootSigns' | 'RootRetired' | 'AuthorityRenewed' | 'CaRestored' | 'CaRefused'
  readonly message: string
}

/** The CA of a mesh in a cluster: every controller issues, the leader alone writes. */
export interface ClusterCa extends Pick<Ca, 'issue' | 'bundle' | 'onBundleChange' | 'rotation' | 'trustDomain'> {
  /** Whether this controller may write. Ending it stops all writing that has not begun. */
  readonly setActive: (leading: boolean) => void
  /** How the CA stands, to be published with the bundle. */
  readonly info: () => CaInfo
  /** Calls `listener` whenever `info()` or `bundle()` has changed; the answer stops that. */
  readonly onChange: (listener: () => void) => () => void
  /** What somebody should see to, with what to do. */
  readonly problems: () => readonly string[]
  /** Resolves when all that is known now was acted upon. */
  readonly idle: () => Promise<void>
  readonly close: () => void
}

/** How often everything is looked at without cause: certificates come near their end without an event. */
const roundMs = 600_000
const retryPauses = { baseMs: 1000, maxMs: 60_000 } as const
/** Longest row of steps that one look takes; three are a forced rotation. */
const maxSteps = 3

/**
 * Opens the CA that the Secret `waymark-ca` holds, or makes it if this mesh never had one, and from then on follows what other controllers keep there.
 * What is there and can not follow on the present state is never adopted and never overwritten: the CA goes on from memory and says so.
 * @throws {CaError} `store-lost`, `store-corrupt`, `store-changed`, `store-mismatch`; `bad-authority` if the first root is to come from `ownSecret` and can not
 * @throws {KubeError} if the API server can not be asked
 */
export async function openClusterCa(options: ClusterCaOptions): Promise<ClusterCa> {
  const { client, clock, namespace, trustDomain, ownSecret, log } = options
  const settleMs = options.svidLifetimeMs ?? svidLifetimeMs
  const random = options.random ?? Math.random
  const store = secretStore({ client, namespace })
  const secretPath = `Secret ${namespace}/${install.caSecret}`
  const ownPath = `Secret ${namespace}/${ownSecret ?? ''}`
  const readOwn = async (): Promise<OwnAuthority | undefined> => {
    if (ownSecret === undefined) return undefined
    return ownAuthority(await client.read({ apiVersion: 'v1', kind: 'Secret', namespace, name: ownSecret }), ownPath, { trustDomain, nowMs: clock.now() })
  }
  let own = await readOwn()
  const newRoot = (): Authority => {
    if (own === undefined) return makeRoot(trustDomain, { nowMs: clock.now() })
    if (own.kind === 'good') return own.authority
    throw new CaError('bad-authority', own.problem)
  }
  const ca = await createCa({ store, trustDomain, clock, svidLifetimeMs: settleMs, newRoot })
  log(`CA: generation ${ca.rotation().generation}, root ${ca.rotation().signing}, kept in ${secretPath}`)

  const listeners = new Set<() => void>()
  let wish: Wish = { rotate: false, force: false }
  let storeProblem: string | undefined
  /** What keeps this controller from seeing or writing how things are. */
  let fault: string | undefined
  let seen = { rotation: ca.rotation(), atMs: clock.now() }
  let leading = false
  let closed = false
  let failures = 0
  let asked = 0
  let running: Promise<void> | undefined
  let cancel: Cancel = () => {}
  // Asked through a function because it changes across awaits.
  const mayWrite = (): boolean => leading && !closed

  const problems = (): readonly string[] => {
    const remedy = ownSecret === undefined ? 'run waymark ca rotate' : `put its successor into ${ownPath}; the rotation begins by itself`
    return [
      ...(fault === undefined ? [] : [`${fault}; it is tried again and again`]),
      ...(storeProblem === undefined ? [] : [storeProblem]),
      ...(own?.kind === 'bad' ? [`${own.problem}; the present CA goes on`] : []),
      ...(wish.problem === undefined ? [] : [wish.problem]),
      ...(wish.rotate && ownSecret !== undefined && ca.rotation().phase === 'steady' && !rootWaits()
        ? [`a rotation was asked for, and ${ownPath} holds no other root: put the next CA there, and the rotation begins by itself`]
        : []),
      ...endingSoon(ca.state(), clock.now(), remedy),
    ]
  }
  const info = (): CaInfo => describeCa(ca.state(), { settleMs, ownSecret, problems: problems() })
  const rootWaits = (): boolean => own?.kind === 'good' && !ca.rotation().trusted.includes(own.authority.id)

  let told = ''
  const tell = (): void => {
    const now = JSON.stringify([info(), ca.bundle()])
    if (now === told) return
    told = now
    for (const listener of [...listeners]) {
      // Nobody waits for a look: what is thrown out of it would end the process.
      try {
        listener()
      } catch (error) {
        log(`CA: a defect in what follows from a change: ${messageOf(error)}`)
      }
    }
  }
  const say = (event: CaEvent): void => {
    log(`CA: ${event.message}`)
    options.onEvent?.(event)
  }
  const complain = (problem: string | undefined): void => {
    if (problem !== undefined && problem !== storeProblem) say({ type: 'Warning', reason: 'CaRefused', message: problem })
    if (problem === undefined && storeProblem !== undefined) log(`CA: resolved: ${storeProblem}`)
    storeProblem = problem
  }

  const blame = (next: string | undefined): void => {
    if (next !== undefined && next !== fault) log(`CA: ${next}; it will be tried again`)
    if (next === undefined && fault !== undefined) log(`CA: resolved: ${fault}`)
    fault = next
  }

  /** Whether the Secret now holds what this process has in memory. */
  const agree = async (kept: Kept): Promise<boolean> => {
    if (kept.kind === 'gone') {
      if (!mayWrite()) {
        complain(`${secretPath} is gone; the controller that leads puts it back, and until then certificates are issued from memory`)
        return false
      }
      const present = ca.state()
      // A controller that was cut off for long may lead before it has seen what others made of the CA meanwhile.
      const marker = await store.marker()
      const why = marker === undefined || marker === 'unreadable' ? undefined : whyNotNext(marker, present.rotation)
      if (why !== undefined) {
        complain(`${secretPath} is gone, and what this controller remembers is not put back: ${why}; ${new CaError('store-lost', why).advice}`)
        return false
      }
      if (!mayWrite()) return false
      if ((await store.create(present)) !== present) return agree(await store.look())
      say({ type: 'Warning', reason: 'CaRestored', message: `${secretPath} was gone; it was put back with the same root` })
      complain(undefined)
      return true
    }
    const why = kept.kind === 'broken' ? kept.error.message : whyRefused(kept.state, ca.state())
    if (why !== undefined) {
      complain(`${why}; certificates are issued from memory and no rotation goes on; ${new CaError('store-changed', why).advice}`)
      return false
    }
    complain(undefined)
    if (kept.kind === 'kept') {
      const before = ca.rotation()
      await ca.adopt(kept.state)
      if (!sameRotation(before, ca.rotation())) log(`CA: another controller brought it to generation ${ca.rotation().generation}, ${ca.rotation().phase}`)
      wish = readWish(kept.annotations, ca.rotation().generation)
    }
    return true
  }

  const whyRefused = (next: CaState, present: CaState): string | undefined => {
    if (next.trustDomain !== trustDomain) return `${secretPath} belongs to the trust domain ${next.trustDomain}, not ${trustDomain}`
    const why = whyNotNext(present.rotation, next.rotation)
    return why === undefined ? undefined : `${secretPath} does not hold this mesh's CA any more: ${why}`
  }

  /** Takes over another key or chain below a root that is trusted already. */
  const renewBelow = async (): Promise<void> => {
    if (own?.kind !== 'good' || !mayWrite()) return
    const { authority } = own
    const present = ca.state().authorities.find((each) => each.id === authority.id)
    if (present === undefined || (present.privateKeyPem === authority.privateKeyPem && present.intermediatesPem === authority.intermediatesPem)) return
    const next = withAuthority(ca.state(), authority)
    await store.save(next)
    await ca.adopt(next)
    say({ type: 'Normal', reason: 'AuthorityRenewed', message: `the CA of ${ownPath} signs with another certificate below the same root` })
  }

  /** Takes every step that is due. @returns when the next one is, milliseconds since the epoch */
  const rotate = async (): Promise<number | undefined> => {
    for (let count = 0; count < maxSteps && mayWrite(); count++) {
      const rotation = ca.rotation()
      if (!sameRotation(rotation, seen.rotation)) seen = { rotation, atMs: clock.now() }
      const wanted = { rotate: wish.rotate && (ownSecret === undefined || rootWaits()), force: wish.force }
      const plan = planRotation({ rotation, wish: wanted, rootWaits: rootWaits(), nowMs: clock.now(), settleMs, seenMs: seen.atMs })
      if (plan.kind !== 'step') return plan.kind === 'wait' ? plan.untilMs : undefined
      const after = await ca.rotate(plan.step, { force: plan.force })
      wish = { ...wish, rotate: wish.rotate && after.generation === rotation.generation }
      say({ type: 'Normal', ...stepWords(plan.step, after) })
      tell()
    }
    return undefined
  }

  const look = async (): Promise<void> => {
    cancel()
    let dueMs: number | undefined
    const errors: unknown[] = []
    try {
      // What can not be read now is as it was.
      own = await readOwn().catch((error: unknown) => (errors.push(error), own))
      if (await agree(await store.look())) {
        await renewBelow()
        dueMs = await rotate()
      }
    } catch (error) {
      errors.push(error)
    }
    if (closed) return
    failures = errors.length === 0 ? 0 : failures + 1
    if (failures > 0) dueMs = Math.min(dueMs ?? Infinity, clock.now() + backoffMs(failures, { ...retryPauses, random }))
    blame(errors.map(messageOf).join('; ') || undefined)
    cancel = clock.after(Math.max(0, Math.min(roundMs, (dueMs ?? Infinity) - clock.now())), wake)
    tell()
  }

  const run = async (): Promise<void> => {
    for (let done = 0; done !== asked && !closed;) {
      done = asked
      await look()
    }
  }
  const wake = (): void => {
    if (closed) return
    asked++
    running ??= run().finally(() => (running = undefined))
  }

  const stopWatching = [install.caSecret, ...(ownSecret === undefined ? [] : [ownSecret])].map((name) =>
    watchSecret({ client, clock, random, namespace, name, onChange: wake, observer: options.observer }))
  wake()

  return {
    trustDomain,
    issue: ca.issue,
    bundle: ca.bundle,
    onBundleChange: ca.onBundleChange,
    rotation: ca.rotation,
    setActive: (now) => {
      if (now && !leading) wake()
      leading = now
    },
    info,
    onChange: (listener) => {
      const own: typeof listener = () => listener()
      listeners.add(own)
      return () => listeners.delete(own)
    },
    problems,
    idle: async () => {
      while (running !== undefined) await running
    },
    close: () => {
      closed = true
      cancel()
      for (const stop of stopWatching) stop()
    },
  }
}

function sameRotation(a: RotationState, b: RotationState): boolean {
  return a.generation === b.generation && a.phase === b.phase && a.sinceMs === b.sinceMs && a.trusted.join() === b.trusted.join()
}

function stepWords(step: 'introduce' | 'sign' | 'retire', { generation, trusted, signing }: RotationState): Pick<CaEvent, 'reason' | 'message'> {
  switch (step) {
    case 'introduce':
      return { reason: 'RootIntroduced', message: `rotation to generation ${generation + 1}: root ${trusted[1] ?? ''} is trusted beside ${signing}` }
    case 'sign':
      return { reason: 'RootSigns', message: `rotation to generation ${generation + 1}: root ${signing} signs` }
    case 'retire':
      return { reason: 'RootRetired', message: `generation ${generation}: root ${signing} alone is trusted` }
  }
}
