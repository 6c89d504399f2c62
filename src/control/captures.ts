import type { Pod } from '../api/core.ts'
import type { ResourceSet } from '../api/resources.ts'
import { backoffMs } from '../kit/backoff.ts'
import type { Cancel, Clock } from '../kit/clock.ts'
import { printable } from '../kit/printable.ts'
import type { KubeClient } from '../kube/client.ts'
import { capturedAnnotation } from '../model/install.ts'
import type { Acknowledgement } from '../publish/acks.ts'
import { judge } from '../status/failures.ts'
import { createIdle } from '../status/idle.ts'
import type { Recorder } from '../status/recorder.ts'
import { isMeshNamespace } from '../translate/labels.ts'
import { planCaptures, readReports, type ForeignReport } from './capture-plan.ts'

export interface CaptureWriterOptions {
  readonly client: Pick<KubeClient, 'patch' | 'refresh'>
  readonly clock: Clock
  readonly random?: () => number
  readonly recorder: Pick<Recorder, 'record'>
  /** Told of each word of an agent about a pod of another node, once: it is not believed. */
  readonly onForeign?: () => void
  /** One line for a person. */
  readonly log: (line: string) => void
}

/** Says at each pod whether its traffic is captured, as its node's agent reports it. */
export interface CaptureWriter {
  readonly update: (resources: ResourceSet, acknowledgements: Iterable<Acknowledgement>) => void
  /** Whether this controller may write. */
  readonly setActive: (leading: boolean) => void
  /** Resolves when nothing is left to do, or only what failed and is tried again later. */
  readonly idle: () => Promise<void>
  readonly close: () => void
}

const parallel = 8
const retryPauses = { baseMs: 500, maxMs: 30_000 } as const
/** Reports of many agents come within a moment, and each looks at every pod. */
const gatherMs = 10

export function createCaptureWriter({ client, clock, random = Math.random, recorder, log, onForeign = () => {} }: CaptureWriterOptions): CaptureWriter {
  let newest: { readonly resources: ResourceSet; readonly acknowledgements: Iterable<Acknowledgement> } | undefined
  let active = false
  let closed = false
  let atWork = 0
  let cancelGather: Cancel | undefined
  /** What is to be written, by uid. */
  const wanted = new Map<string, { readonly pod: Pod; readonly annotate: boolean }>()
  /** What was written last, until the watch shows it. */
  const written = new Map<string, boolean>()
  const busy = new Set<string>()
  const failures = new Map<string, { readonly count: number; waiting: boolean; readonly cancel: Cancel }>()
  const told = new Map<string, string>()
  /** Words that were not believed, as `agent uid`. */
  let disbelieved: ReadonlySet<string> = new Set()
  /** What was looked at when nothing was to be done: thousands of pods need no second look because an endpoint changed. */
  let settled: readonly unknown[] | undefined
  const idle = createIdle(() => atWork === 0 && cancelGather === undefined && [...wanted.keys()].every((uid) => failures.get(uid)?.waiting === true))
  // Asked through a function because it changes across awaits.
  const mayWrite = (): boolean => active && !closed

  const look = (): void => {
    cancelGather = undefined
    if (newest === undefined || !mayWrite()) return
    const { resources, acknowledgements } = newest
    const reports = [...acknowledgements]
    const looked: readonly unknown[] = [resources.Pod, resources.Namespace, ...reports.flatMap(({ captures, bound }) => (captures === undefined ? [] : [captures, bound]))]
    if (looked.length === settled?.length && looked.every((each, at) => each === settled?.[at])) {
      idle.check()
      return
    }
    const read = readReports(reports, resources.Pod)
    disbelieve(read.foreign)
    const actions = planCaptures(resources.Pod, (namespace) => isMeshNamespace(resources, namespace), read)
    settled = actions.length === 0 ? looked : undefined
    wanted.clear()
    const problems = new Map<string, string>()
    for (const { pod, annotate, problem } of actions) {
      const { uid = '' } = pod.metadata
      if (annotate !== undefined && written.get(uid) !== annotate) wanted.set(uid, { pod, annotate })
      if (problem === undefined) continue
      problems.set(uid, problem)
      if (told.get(uid) !== problem) tell(pod, problem)
    }
    // What the watch shows by now need not be remembered, and whoever is gone neither.
    const open = new Set(actions.filter(({ annotate }) => annotate !== undefined).map(({ pod }) => pod.metadata.uid))
    for (const uid of written.keys()) if (!open.has(uid)) written.delete(uid)
    for (const [uid, { cancel }] of failures) {
      if (wanted.has(uid)) continue
      cancel()
      failures.delete(uid)
    }
    told.clear()
    for (const [uid, problem] of problems) told.set(uid, problem)
    work()
  }

  const disbelieve = (foreign: readonly ForeignReport[]): void => {
    const now = new Set<string>()
    for (const { agent, node, pod: { metadata: { uid = '', namespace = '', name }, spec } } of foreign) {
      const key = `${agent} ${uid}`
      now.add(key)
      if (disbelieved.has(key)) continue
      onForeign()
      log(`the agent ${agent} of node ${node} speaks of pod ${namespace}/${name}, which is on ${spec?.nodeName ?? 'no node'}: that is not believed. Look after node ${node}`)
    }
    disbelieved = now
  }

  const tell = (pod: Pod, problem: string): void =>
    recorder.record(pod, [{ type: 'Warning', reason: 'NotCaptured', note: `The node's agent can not capture this pod: ${printable(problem)}`, identity: ['captured', problem] }])

  const work = (): void => {
    for (const [uid, { pod, annotate }] of wanted) {
      if (atWork >= parallel || !mayWrite()) break
      if (busy.has(uid) || failures.get(uid)?.waiting === true) continue
      wanted.delete(uid)
      busy.add(uid)
      atWork++
      void write(uid, pod, annotate).finally(() => {
        busy.delete(uid)
        atWork--
        work()
        idle.check()
      })
    }
    idle.check()
  }

  const write = async (uid: string, pod: Pod, annotate: boolean): Promise<void> => {
    const { namespace = '', name } = pod.metadata
    try {
      // With the uid: a pod of that name which came later is another one.
      await client.patch({ apiVersion: 'v1', kind: 'Pod', namespace, name }, { metadata: { uid, annotations: { [capturedAnnotation]: annotate ? 'true' : null } } })
      written.set(uid, annotate)
      failures.delete(uid)
    } catch (error) {
      const failure = judge(error)
      if (failure.kind === 'gone' || failure.kind === 'conflict') return
      if (failure.kind === 'passing' && failure.unauthorized) client.refresh()
      const count = (failures.get(uid)?.count ?? 0) + 1
      if (count === 1) log(`Pod ${namespace}/${name}: whether it is captured could not be written: ${failure.message}; it will be tried again`)
      const cancel = clock.after(backoffMs(count, { ...retryPauses, random }), () => {
        const failure = failures.get(uid)
        if (failure !== undefined) failure.waiting = false
        gather()
      })
      failures.set(uid, { count, waiting: true, cancel })
    }
  }

  const gather = (): void => {
    if (!closed) cancelGather ??= clock.after(gatherMs, look)
  }

  return {
    update: (resources, acknowledgements) => {
      newest = { resources, acknowledgements }
      gather()
    },
    setActive: (leading) => {
      active = leading
      if (leading) gather()
      else {
        wanted.clear()
        written.clear()
        for (const { cancel } of failures.values()) cancel()
        failures.clear()
        idle.check()
      }
    },
    idle: idle.wait,
    close: () => {
      closed = true
      cancelGather?.()
      cancelGather = undefined
      wanted.clear()
      for (const { cancel } of failures.values()) cancel()
      idle.check()
    },
  }
}
