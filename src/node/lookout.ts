import type { Cancel, Clock } from '../kit/clock.ts'
import type { Damage } from './capture.ts'

/** What was mended so far, by what it was: rules or listeners of a pod, rules of the node. */
export interface Repairs {
  readonly rules: number
  readonly listeners: number
  readonly node: number
}

/** One captured pod that is looked after. */
export interface Guarded {
  /** `namespace/name`, for people. */
  readonly name: string
  readonly patience: Patience
  /** Looks, and puts rules back. @returns what was damaged; undefined also if the capture is not the pod's any more */
  readonly mend: () => Promise<Damage | undefined>
  /** Captures the pod anew: its listeners are gone. */
  readonly beginAnew: () => Promise<void>
}

export interface LookoutOptions {
  readonly clock: Clock
  readonly pods: () => readonly Guarded[]
  /** Whether the node's own rules were taken away or changed. */
  readonly nodeDamaged: () => Promise<boolean>
  readonly mendNode: () => Promise<void>
  /** An error in words. */
  readonly describe: (error: unknown) => string
  /** One line for a person. */
  readonly log: (line: string) => void
}

/** Looks again and again whether somebody in a pod, or on the node, has taken rules away, and has them put back. */
export interface Lookout {
  readonly repairs: () => Repairs
  readonly close: () => void
}

/** How often it looks, and so how long a pod may be without rules, milliseconds. */
const lookMs = 1_000

export function createLookout({ clock, pods, nodeDamaged, mendNode, describe, log }: LookoutOptions): Lookout {
  const mended = { rules: 0, listeners: 0, node: 0 }
  const nodePatience = createPatience(clock)
  let closed = false
  let cancel: Cancel = () => {}
  // Asked through a function because it changes across awaits.
  const isClosed = (): boolean => closed

  const lookAfterPod = async ({ name, patience, mend, beginAnew }: Guarded): Promise<void> => {
    if (!patience.may()) return
    try {
      const damage = await mend()
      if (damage === undefined) return
      patience.mended()
      mended[damage]++
      log(`pod ${name}: somebody in it had changed the ${damage} of its capture; they are put in place again`)
      if (damage === 'listeners') await beginAnew()
    } catch (error) {
      patience.mended()
      log(`pod ${name}: its rules could not be looked after: ${describe(error)}`)
    }
  }

  const look = async (): Promise<void> => {
    const all = pods()
    for (const each of all) if (!isClosed()) await lookAfterPod(each)
    try {
      if (isClosed() || all.length === 0 || !nodePatience.may() || !(await nodeDamaged())) return
      nodePatience.mended()
      await mendNode()
      mended.node++
      log('somebody had changed the node\'s own rules, by which probes pass; they are in place again')
    } catch (error) {
      log(`the node's own rules: ${describe(error)}`)
    }
  }
  const lookOn = (): void => {
    cancel = clock.after(lookMs, () => void look().finally(() => {
      if (!isClosed()) lookOn()
    }))
  }
  lookOn()
  return {
    repairs: () => ({ ...mended }),
    close: () => {
      closed = true
      cancel()
    },
  }
}

/** How often something is mended that somebody breaks again and again: what is cheap to break must not keep the agent busy. */
export interface Patience {
  /** Whether it is time to look. */
  readonly may: () => boolean
  /** It was mended: after a few times in a row the next look is later. */
  readonly mended: () => void
}

/** Mended at once so often, and then half a minute apart at most. */
const atOnce = 3
const longestMs = 30_000
/** After so long without a repair all is forgotten. */
const forgottenMs = 120_000

export function createPatience({ now }: Pick<Clock, 'now'>): Patience {
  let inRow = 0
  let lastMs = -Infinity
  let notBeforeMs = -Infinity
  return {
    may: () => now() >= notBeforeMs,
    mended: () => {
      inRow = now() - lastMs > forgottenMs ? 1 : inRow + 1
      lastMs = now()
      notBeforeMs = inRow <= atOnce ? -Infinity : lastMs + Math.min(longestMs, 1_000 * 2 ** (inRow - atOnce))
    },
  }
}
