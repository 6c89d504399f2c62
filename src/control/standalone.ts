import type { Duplex } from 'node:stream'
import { createCa, type Ca } from '../../ca/server.ts'
import { directoryStore, memoryStore } from '../../ca/store.ts'
import { startWaypoint, type Waypoint } from '../../waypoint/waypoint.ts'
import { emptyResources, type ResourceSet } from '../api/resources.ts'
import type { Problem } from '../api/problem.ts'
import { startEntry, type Entry } from '../connect/entry.ts'
import type { Clock } from '../kit/clock.ts'
import type { Readiness } from '../kit/ready.ts'
import type { WaypointEntry } from '../model/entries.ts'
import type { Identity } from '../model/identity.ts'
import { formatSpiffeId, parseSpiffeId } from '../model/identity.ts'
import { namespacedName, type NamespacedName } from '../model/refs.ts'
import { apply, type Snapshot } from '../model/snapshot.ts'
import type { ObjectStatus } from '../model/status.ts'
import { createPublisher, type Subscription } from '../publish/publisher.ts'
import { serveSubscriber } from '../publish/server.ts'
import type { Subscriber } from '../publish/slice.ts'
import { keepCredentials, type CredentialKeeper } from '../transport/credentials.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { SocketAddress, Translation } from '../translate/options.ts'
import { translate } from '../translate/translate.ts'
import { listening } from './listening.ts'
import { createReporter, describeAll } from './reporter.ts'

/** A workload that enters through a port of its own. */
export interface EntryRequest {
  readonly namespace: string
  readonly serviceAccount: string
  /** 0 = any. */
  readonly port: number
}

export interface StandaloneOptions {
  readonly trustDomain: string
  /** Where everything listens; loopback unless whoever reaches it may act as the entries' identities. */
  readonly host: string
  readonly entries: readonly EntryRequest[]
  /** Keeps the CA's root in this directory; undefined: it ends with the process. */
  readonly stateDirectory?: string
  readonly clock: Clock
  readonly readiness: Readiness
  /** Telemetry of the waypoint `namespace/name`. */
  readonly telemetry: (waypoint: NamespacedName) => Telemetry
  /** One line for a person. */
  readonly log: (line: string) => void
}

/** What a folder gave: see `sources/files`. */
export interface Input {
  readonly resources: ResourceSet
  readonly problems: readonly Problem[]
}

/** The whole mesh in one process. */
export interface Standalone {
  readonly ca: Ca
  /** Takes over a new set of objects; resolves when every waypoint and entry runs it. */
  readonly update: (input: Input) => Promise<void>
  readonly waypoints: () => readonly { readonly key: NamespacedName; readonly address: SocketAddress }[]
  readonly entries: () => readonly { readonly identity: Identity; readonly address: SocketAddress }[]
  readonly snapshot: () => Snapshot
  readonly statuses: () => readonly ObjectStatus[]
  /** Everything that is wrong now, a line each. */
  readonly troubles: () => readonly string[]
  /** Serves configuration and certificates to another process, which may act as any identity of the trust domain. */
  readonly serve: (stream: Duplex) => void
  /** Lets what is on its way finish, at most `deadlineMs`. */
  readonly close: (deadlineMs: number) => Promise<void>
}

interface RunningWaypoint {
  readonly waypoint: Waypoint
  readonly credentials: CredentialKeeper
  subscription: Subscription | undefined
}

/** Milliseconds that a waypoint whose Gateway is gone may take to finish what it has begun. */
const retireMs = 30_000

/** @throws what the CA's store or a listening entry throws */
export async function startStandalone(options: StandaloneOptions): Promise<Standalone> {
  const { trustDomain, host, clock, readiness, log } = options
  const store = options.stateDirectory === undefined ? memoryStore() : directoryStore(options.stateDirectory)
  const known = await store.load()
  const ca = await createCa({ store, trustDomain, clock })
  // Whoever expected the old root must see that there is a new one.
  if (options.stateDirectory !== undefined) log(`CA: ${known === undefined ? 'a new root, kept' : 'the root that is kept'} in ${options.stateDirectory}`)
  const publisher = createPublisher()
  const report = createReporter(log)
  const running = new Map<NamespacedName, RunningWaypoint>()
  const retiring = new Set<Promise<void>>()
  const configured = readiness.register('configuration', 'the folder is being read')
  let input: Input = { resources: emptyResources(), problems: [] }
  let translation: Translation = { snapshot: new Map(), statuses: [], warnings: [], infra: [] }
  let troubles: readonly string[] = []
  let turn: Promise<unknown> = Promise.resolve()

  const keep = async (identity: Identity): Promise<CredentialKeeper> => {
    const kept = await keepCredentials({
      identity, clock,
      fetch: (publicKeyPem) => ca.issue(identity, publicKeyPem),
      onError: (error) => log(`certificate of ${formatSpiffeId(identity)}: ${error.message}`),
    })
    const stop = ca.onBundleChange(kept.updateBundle)
    return {
      ...kept,
      close: () => {
        stop()
        kept.close()
      },
    }
  }

  const follow = (subscriber: Subscriber, configure: (snapshot: Snapshot) => void): Subscription => {
    let present: Snapshot = new Map()
    const subscription: Subscription = publisher.subscribe(subscriber, ({ version, changes }) => {
      present = apply(present, changes)
      configure(present)
      // The first update comes before `subscribe` has given its answer.
      queueMicrotask(() => subscription.acknowledge(version))
    })
    return subscription
  }

  const openWaypoint = async (entry: WaypointEntry): Promise<RunningWaypoint> => {
    const identity = parseSpiffeId(entry.identity)
    if (identity === undefined) throw new Error(`${entry.identity} is not an identity`)
    const credentials = await keep(identity)
    const { namespace, name } = entry
    const waypoint = await startWaypoint({
      namespace, name, credentials, trustDomain, host, port: 0, clock, telemetry: options.telemetry(namespacedName(namespace, name)),
    })
    return { waypoint, credentials, subscription: undefined }
  }

  const retire = (each: RunningWaypoint): void => {
    const done = each.waypoint.drain(retireMs).then(() => {
      each.subscription?.close()
      each.credentials.close()
    })
    retiring.add(done)
    void done.finally(() => retiring.delete(done))
  }

  const translateNow = (): Translation => {
    const waypointAddresses = new Map([...running].map(([key, { waypoint }]) => [key, [waypoint.address]]))
    return translate(input.resources, { trustDomain, waypointAddresses, readyWaypoints: new Set(running.keys()) })
  }

  const update = async (next: Input): Promise<void> => {
    input = next
    const wanted = new Map<NamespacedName, WaypointEntry>()
    const first = translateNow()
    for (const entry of first.snapshot.values()) if (entry.kind === 'waypoint') wanted.set(namespacedName(entry.namespace, entry.name), entry)
    const missing = [...wanted].filter(([key]) => !running.has(key))
    for (const [key, entry] of missing) running.set(key, await openWaypoint(entry))
    const unwanted = [...running].filter(([key]) => !wanted.has(key))
    for (const [key] of unwanted) running.delete(key)
    // Nobody is sent to a waypoint before it holds the configuration, nor to one that is about to go.
    translation = missing.length === 0 && unwanted.length === 0 ? first : translateNow()
    publisher.publish(translation.snapshot)
    for (const [key, each] of running) {
      each.subscription ??= follow({ kind: 'waypoint', namespace: key.split('/')[0] ?? '' }, (snapshot) => each.waypoint.configure(snapshot))
    }
    for (const [, each] of unwanted) retire(each)
    troubles = describeAll(next.problems, translation.statuses, translation.warnings)
    report(troubles)
    configured.ready()
  }

  const entries: { identity: Identity; entry: Entry; credentials: CredentialKeeper; subscription: Subscription }[] = []
  for (const { namespace, serviceAccount, port } of options.entries) {
    const identity = { trustDomain, namespace, serviceAccount }
    const credentials = await keep(identity)
    const entry = await listening(`the entry of ${namespace}/${serviceAccount}`, `port ${port}`, `--as ${namespace}/${serviceAccount}@PORT`, () => startEntry({ credentials, host, port, clock }))
    entries.push({ identity, entry, credentials, subscription: follow({ kind: 'entry', namespace }, entry.configure) })
  }

  return {
    ca,
    update: (next) => {
      const done = turn.then(() => update(next))
      // One failed update must not stop the next one.
      turn = done.catch(() => {})
      return done
    },
    waypoints: () => [...running].map(([key, { waypoint }]) => ({ key, address: waypoint.address })),
    entries: () => entries.map(({ identity, entry }) => ({ identity, address: entry.address })),
    snapshot: () => translation.snapshot,
    statuses: () => translation.statuses,
    troubles: () => troubles,
    serve: (stream) => {
      const authorize = (identity: Identity): true | string => identity.trustDomain === trustDomain || `the trust domain here is ${trustDomain}`
      void serveSubscriber(stream, { publisher, issue: ca.issue, onBundleChange: ca.onBundleChange, authorize })
    },
    close: async (deadlineMs) => {
      await turn
      await Promise.all(entries.map(async ({ entry, credentials, subscription }) => {
        subscription.close()
        await entry.drain(deadlineMs)
        credentials.close()
      }))
      for (const each of running.values()) retire(each)
      await Promise.race([Promise.all(retiring), new Promise<void>((resolve) => { clock.after(deadlineMs, resolve) })])
      await Promise.all([...running.values()].map(({ waypoint }) => waypoint.close()))
    },
  }
}
