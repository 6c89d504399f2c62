import { backoffMs } from '../../kit/backoff.ts'
import type { Cancel, Clock } from '../../kit/clock.ts'
import { messageOf } from '../../kit/message.ts'
import type { KubeClient } from '../../kube/client.ts'
import { isStatus } from '../../kube/errors.ts'
import type { KubeObject } from '../../kube/object.ts'
import { configLabel, install, managedBy, managedByLabel } from '../../model/install.ts'
import { createGone } from '../../sources/kube/gone.ts'
import { listWatch } from '../../sources/kube/list-watch.ts'
import type { WatchObserver } from '../../sources/kube/observer.ts'
import { isOlder } from '../../sources/kube/wire.ts'
import type { CaInfo } from './info.ts'
import { caNames } from './names.ts'
import { dataOf, markerAnnotations } from './secret-store.ts'

export interface BundleWriterOptions {
  readonly client: KubeClient
  readonly clock: Clock
  /** From 0 up to, not including, 1; default `Math.random`. */
  readonly random?: () => number
  /** The controller's: it always has the bundle, and with it how the CA stands. */
  readonly namespace: string
  /** One line for a person. */
  readonly log: (line: string) => void
  readonly observer?: WatchObserver
}

/** Keeps the ConfigMap `waymark-trust-bundle` in every namespace of the mesh. */
export interface BundleWriter {
  /** What is wanted from now on. Nothing is written before the first call. */
  readonly update: (namespaces: ReadonlySet<string>, bundlePem: readonly string[], info: CaInfo) => void
  /** Whether this controller may write. Ending it stops all writing that has not begun. */
  readonly setActive: (leading: boolean) => void
  /** What somebody should see to, with what to do. */
  readonly problems: () => readonly string[]
  /** Resolves when nothing is left to do, or only what failed and is tried again later. */
  readonly idle: () => Promise<void>
  readonly close: () => void
}

interface Wanted {
  readonly namespaces: ReadonlySet<string>
  readonly bundle: string
  readonly info: CaInfo
}

interface Trouble {
  readonly failures: number
  /** Undefined: nothing that a person could mend, such as a namespace that is about to go. */
  readonly problem: string | undefined
}

/** How many writes are on their way at once. */
const parallel = 8
const retryPauses = { baseMs: 1000, maxMs: 60_000 } as const
/** How soon the same may be written again: somebody else's program that changes it back must not cost a storm. */
const repairPauseMs = 1000
const label = 'trust-bundle'

/** Starts to follow the ConfigMaps that are there; writes only while active, and only where something differs. */
export function createBundleWriter(options: BundleWriterOptions): BundleWriter {
  const { client, clock, namespace: home, log } = options
  const random = options.random ?? Math.random
  /** By namespace, as the watch or an answer to a write showed it last. */
  const present = new Map<string, KubeObject>()
  const gone = createGone()
  const troubles = new Map<string, Trouble>()
  const dirty = new Set<string>()
  const retries = new Map<string, Cancel>()
  const wrote = new Map<string, { readonly text: string; readonly atMs: number }>()
  const waiters: (() => void)[] = []
  let wanted: Wanted | undefined
  let active = false
  let closed = false
  let synced = false
  let atWork = 0
  // Asked through a function because it changes across awaits.
  const mayWrite = (): boolean => active && !closed

  const judgeAll = (): void => {
    if (wanted === undefined || !mayWrite() || !watch.synced()) return
    for (const namespace of new Set([home, ...wanted.namespaces, ...present.keys(), ...troubles.keys()])) judge(namespace)
  }

  const judge = (namespace: string): void => {
    if (!differs(namespace)) settle(namespace, undefined)
    else if (!isPaused(namespace)) dirty.add(namespace)
    work()
  }

  /** Whether the very same was written there just now; then it is looked at again when the pause is over. */
  const isPaused = (namespace: string): boolean => {
    const last = wrote.get(namespace)
    // A clock that was set back makes it no longer than the pause.
    const leftMs = last === undefined ? 0 : Math.min(repairPauseMs, last.atMs + repairPauseMs - clock.now())
    if (wanted === undefined || !isWanted(namespace) || leftMs <= 0 || last?.text !== textOf(desired(namespace, home, wanted))) return false
    if (!retries.has(namespace)) retryIn(namespace, leftMs)
    return true
  }

  const retryIn = (namespace: string, delayMs: number): void => {
    retries.set(namespace, clock.after(delayMs, () => {
      retries.delete(namespace)
      judge(namespace)
    }))
  }

  const isWanted = (namespace: string): boolean => namespace === home || wanted?.namespaces.has(namespace) === true

  const differs = (namespace: string): boolean => {
    const object = present.get(namespace)
    if (!isWanted(namespace)) return object !== undefined && isOurs(object)
    return wanted !== undefined && (object === undefined || !matches(object, desired(namespace, home, wanted)))
  }

  const work = (): void => {
    for (const namespace of dirty) {
      if (atWork >= parallel || !mayWrite()) break
      dirty.delete(namespace)
      if (retries.has(namespace)) continue
      atWork++
      void put(namespace).finally(() => {
        atWork--
        // What was wanted may have changed meanwhile.
        if (mayWrite() && !retries.has(namespace)) judge(namespace)
        else work()
      })
    }
    if (atWork === 0 && (dirty.size === 0 || !mayWrite())) for (const done of waiters.splice(0)) done()
  }

  const put = async (namespace: string): Promise<void> => {
    try {
      if (isWanted(namespace)) await write(namespace)
      else await remove(namespace)
    } catch (error) {
      // A namespace that is about to go, or is gone: whoever says which ones are wanted will say so soon.
      const leaving = isStatus(error, 404) || (isStatus(error, 403) && /because it is being terminated/.test(error.message))
      const message = messageOf(error)
      settle(namespace, leaving ? 'leaving' : `ConfigMap ${namespace}/${install.bundleConfigMap}: ${message}; pods there may not start or may lack the mesh's roots; it will be tried again`)
    }
  }

  const write = async (namespace: string): Promise<void> => {
    if (!present.has(namespace)) {
      const found = await client.read({ apiVersion: 'v1', kind: 'ConfigMap', namespace, name: install.bundleConfigMap })
      if (found !== undefined && !isOurs(found)) {
        settle(namespace, `ConfigMap ${namespace}/${install.bundleConfigMap} is not the mesh's (label ${managedByLabel}: ${managedBy}) and is left as it is: delete or rename it; pods there can not join the mesh before`)
        return
      }
    }
    if (wanted === undefined || !mayWrite() || !isWanted(namespace)) return
    const object = desired(namespace, home, wanted)
    take(await client.apply(object, install.fieldManager))
    wrote.set(namespace, { text: textOf(object), atMs: clock.now() })
    settle(namespace, undefined)
  }

  const remove = async (namespace: string): Promise<void> => {
    const object = present.get(namespace)
    if (object === undefined || !mayWrite()) return
    await client.remove({ apiVersion: 'v1', kind: 'ConfigMap', namespace, name: install.bundleConfigMap }, object.metadata.uid)
    present.delete(namespace)
    wrote.delete(namespace)
    settle(namespace, undefined)
  }

  /** Answers to writes and events of the watch come in any order. */
  const take = (object: KubeObject): void => {
    const { namespace = '', resourceVersion = '', uid } = object.metadata
    if (!gone.has(uid) && !isOlder(resourceVersion, present.get(namespace)?.metadata.resourceVersion ?? '')) present.set(namespace, object)
  }

  /** @param problem undefined: all is well */
  const settle = (namespace: string, problem: string | undefined): void => {
    retries.get(namespace)?.()
    retries.delete(namespace)
    const before = troubles.get(namespace)
    if (problem === undefined) {
      troubles.delete(namespace)
      if (before?.problem !== undefined) log(`resolved: ${before.problem}`)
      return
    }
    const said = problem === 'leaving' ? undefined : problem
    if (said !== undefined && said !== before?.problem) log(said)
    const failures = (before?.failures ?? 0) + 1
    troubles.set(namespace, { failures, problem: said })
    retryIn(namespace, Math.max(retryPauses.baseMs, backoffMs(failures, { ...retryPauses, random })))
  }

  const watch = listWatch({
    client, clock, random, kind: 'ConfigMap', apiVersion: 'v1', path: '/api/v1/configmaps', labelSelector: `${configLabel}=${label}`, observer: options.observer,
    onChanges: (changes) => {
      const touched = new Set<string>()
      for (const change of changes) {
        const { name, namespace } = change.kind === 'put' ? change.object.metadata : change.previous.metadata
        if (name !== install.bundleConfigMap || namespace === undefined) continue
        if (change.kind === 'put') take(change.object)
        else {
          gone.add(change.previous.metadata.uid)
          present.delete(namespace)
        }
        touched.add(namespace)
      }
      if (wanted !== undefined && mayWrite()) for (const namespace of touched) judge(namespace)
    },
    onState: () => {
      if (synced || !watch.synced()) return
      synced = true
      judgeAll()
    },
  })

  return {
    update: (namespaces, bundlePem, info) => {
      wanted = { namespaces, bundle: bundlePem.map((pem) => `${pem.trimEnd()}\n`).join(''), info }
      judgeAll()
    },
    setActive: (leading) => {
      active = leading
      if (leading) judgeAll()
      else {
        dirty.clear()
        for (const cancel of retries.values()) cancel()
        retries.clear()
        troubles.clear()
      }
      work()
    },
    problems: () => [
      ...(synced ? [] : [watch.problem()?.message ?? []].flat().map((message) => `the ConfigMaps with the trust bundle can not be listed: ${message}`)),
      ...[...troubles.values()].flatMap(({ problem }) => problem ?? []),
    ],
    idle: () => (atWork === 0 && dirty.size === 0 ? Promise.resolve() : new Promise((resolve) => void waiters.push(resolve))),
    close: () => {
      closed = true
      for (const cancel of retries.values()) cancel()
      watch.close()
      work()
    },
  }
}

function desired(namespace: string, home: string, { bundle, info }: Wanted): KubeObject {
  const trusted = info.roots.map(({ fingerprint }) => fingerprint)
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: install.bundleConfigMap,
      namespace,
      labels: { [managedByLabel]: managedBy, [configLabel]: label },
      // Only the CA's own namespace is its memory: elsewhere every step of a rotation would cost a write for nothing.
      ...(namespace === home ? { annotations: markerAnnotations({ ...info, trusted }) } : {}),
    },
    data: { [install.bundleKey]: bundle, ...(namespace === home ? { [caNames.infoKey]: `${JSON.stringify(info, undefined, 2)}\n` } : {}) },
  }
}

/** One label is enough: the other one may have been taken off by hand. */
function isOurs({ metadata: { labels } }: KubeObject): boolean {
  return labels?.[managedByLabel] === managedBy || labels?.[configLabel] === label
}

function textOf(object: KubeObject): string {
  return JSON.stringify(object)
}

/** Whether all that we say stands in `object`; what others added besides is theirs. */
function matches(object: KubeObject, wanted: KubeObject): boolean {
  const { labels, annotations } = wanted.metadata
  return includes(object.metadata.labels, labels) && includes(object.metadata.annotations, annotations) && includes(dataOf(object), dataOf(wanted))
}

function includes(all: Readonly<Record<string, string>> | undefined, some: Readonly<Record<string, string>> | undefined): boolean {
  return Object.entries(some ?? {}).every(([key, value]) => all?.[key] === value)
}
