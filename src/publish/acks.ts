import { isDeepStrictEqual } from 'node:util'

/** What a connected subscriber runs, in its own words. */
export interface Acknowledgement {
  readonly kind: 'waypoint' | 'entry' | 'agent'
  readonly namespace: string
  /** Its service account; for a waypoint the name of its Gateway. */
  readonly name: string
  readonly pod: string
  /** Hash of the slice that it runs; '' until it has acknowledged one. */
  readonly hash: string
  /** Of an agent, the pods of its node that shall be captured, by uid. */
  readonly captures?: Captures
  /** Of an agent, the pod that the token is bound to which came with them: what it says is believed of that pod's node only. */
  readonly bound?: BoundPod
}

/** A pod of the agent's own namespace, as the API server said. */
export interface BoundPod {
  readonly name: string
  readonly uid: string
}

/** '' : it is captured; else why it can not be, in words. */
export type Captures = Readonly<Record<string, string>>

/** A change in what subscribers run. `fresh`: the puts are all there is. */
export interface AcknowledgementChange {
  readonly fresh: boolean
  readonly put: readonly (readonly [id: string, Acknowledgement])[]
  readonly remove: readonly string[]
}

/** Who is connected and what they run. */
export interface AcknowledgementList {
  /** A new subscriber that has acknowledged nothing yet. */
  readonly add: (subscriber: Omit<Acknowledgement, 'hash' | 'captures' | 'bound'>) => {
    readonly acknowledge: (hash: string) => void
    readonly report: (captures: Captures, bound: BoundPod | undefined) => void
    readonly remove: () => void
  }
  /** In the order of arrival. A pod that connects anew is here twice for a moment. */
  readonly all: () => readonly Acknowledgement[]
  /** Calls `listener` with all there is, then with each change; the answer stops that. */
  readonly follow: (listener: (change: AcknowledgementChange) => void) => () => void
}

export function createAcknowledgementList(): AcknowledgementList {
  const present = new Map<string, Acknowledgement>()
  const listeners = new Set<(change: AcknowledgementChange) => void>()
  let nextId = 1
  const tell = (change: Pick<AcknowledgementChange, 'put' | 'remove'>): void => {
    for (const listener of listeners) listener({ fresh: false, ...change })
  }
  const put = (id: string, acknowledgement: Acknowledgement): void => {
    present.set(id, acknowledgement)
    tell({ put: [[id, acknowledgement]], remove: [] })
  }
  return {
    add: (subscriber) => {
      const id = String(nextId++)
      put(id, { ...subscriber, hash: '' })
      return {
        acknowledge: (hash) => {
          const before = present.get(id)
          if (before !== undefined && before.hash !== hash) put(id, { ...before, hash })
        },
        report: (captures, bound) => {
          const before = present.get(id)
          if (before === undefined || (isDeepStrictEqual(before.captures, captures) && isDeepStrictEqual(before.bound, bound))) return
          put(id, { ...before, captures, ...(bound === undefined ? {} : { bound }) })
        },
        remove: () => {
          if (present.delete(id)) tell({ put: [], remove: [id] })
        },
      }
    },
    all: () => [...present.values()],
    follow: (listener) => {
      const own: typeof listener = (change) => listener(change)
      listeners.add(own)
      own({ fresh: true, put: [...present], remove: [] })
      return () => listeners.delete(own)
    },
  }
}

/** Whether a pod runs the configuration of that hash, by what it told any controller: while it changes over, it tells two. */
export function runs(acknowledgements: readonly Acknowledgement[], pod: Pick<Acknowledgement, 'namespace' | 'pod'>, hash: string): boolean {
  return acknowledgements.some((each) => each.kind === 'waypoint' && each.namespace === pod.namespace && each.pod === pod.pod && each.hash === hash)
}
