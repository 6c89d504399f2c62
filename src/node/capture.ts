import type { Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import type { HeldIdentity } from './identities.ts'
import type { CapturableNetwork } from './network.ts'
import type { PodTraffic } from './traffic/plane.ts'
import type { PodStats } from './traffic/pod.ts'

export interface CaptureOptions {
  /** The pod's namespace; it belongs to the capture from now on. */
  readonly network: CapturableNetwork
  /** So does what carries the pod's traffic. */
  readonly traffic: PodTraffic
  readonly clock: Clock
  /** Takes hold of the pod's identity. */
  readonly hold: () => HeldIdentity
  /** Lets the kubelet's probes reach the pod: to be done before rules are in force. */
  readonly letNodeReach: () => Promise<void>
  /** Told when `state` is another. */
  readonly onChange: () => void
  readonly onTrouble: (message: string) => void
}

/** One pod that is being captured, is captured, or leaves. */
export interface Capture {
  /**
   * Listeners, then rules: nothing finds rules without listeners. Resolves when the rules are in force; the certificate may come later.
   * @throws NetworkError; nothing is left behind then
   */
  readonly start: () => Promise<void>
  /** Ends the capture, slowly: others may still believe for a moment that it is captured, and connections end when they end. `done` is told then, see `LeaveStep`. */
  readonly leave: (done: (step: LeaveStep) => void) => void
  /** Takes that back, as long as rules are still in force; later, has the pod handed over to another capture. */
  readonly stay: () => void
  /** `captured`: listeners and rules are there, and a certificate. */
  readonly state: () => 'waiting' | 'captured' | 'leaving'
  /** Why it is not `captured` for so long; '' if nothing is wrong. */
  readonly problem: () => string
  /** Whether the pod's traffic can not pass by the agent. */
  readonly inForce: () => boolean
  /**
   * Looks whether somebody in the pod has changed rules or listeners, and puts rules in force again.
   * @returns what was damaged; of `listeners`, close this capture and begin another @throws NetworkError
   */
  readonly mend: () => Promise<Damage | undefined>
  readonly stats: () => PodStats
  /** Takes nothing new and waits for what there is; the rules stay. */
  readonly drain: (deadlineMs: number) => Promise<void>
  /** Cuts everything; the rules stay, for the pod or the next agent. */
  readonly close: () => Promise<void>
}

/** `over`: nothing of it is left. `handed over`: another capture may begin in the pod; of this one only connections are left, and `over` follows. */
export type LeaveStep = 'over' | 'handed over'

/** `rules`: they are in force again. `listeners`: a socket that listened does not any more; everything must begin anew. */
export type Damage = 'rules' | 'listeners'

/** How long others may take to hear that a pod has left, milliseconds: until then it is reached by HBONE. */
const heardMs = 3_000
/** How long a certificate may take until listeners and rules come without one, milliseconds: what the pod sends is refused then. */
const certificateMs = 5_000
/**
 * Between one step of leaving and the next, milliseconds: connections that were redirected to a listener are accepted before it is closed, for the kernel
 * resets those that are not; and last bytes and ends have arrived before what translates them is taken away.
 */
const settleMs = 1_000
/** How long a reader may take for what was sent to it last, once nobody else holds the connection, milliseconds. */
const slowestMs = 60_000
/** How long connections of a pod that left may go on, milliseconds. */
const lastMs = 600_000

export function openCapture(options: CaptureOptions): Capture {
  const { network, traffic, clock, onChange } = options
  const identity = options.hold()
  let certified = false
  /** The certificate took so long that listeners and rules come without. */
  let late = false
  let rules = false
  let phase: 'here' | 'leaving' | 'gone' = 'here'
  let cancelLeave: (() => void) | undefined
  /** The pod is wanted back, while connections of before still end. */
  let wantedBack = false
  let handOver: (() => void) | undefined
  let handedOver = false
  // Asked through a function because it changes across awaits.
  const isGone = (): boolean => phase === 'gone'

  const certify = async (): Promise<void> => {
    try {
      const credentials = await identity.ready
      if (isGone()) return
      await traffic.certify(credentials)
      certified = true
      onChange()
    } catch (error) {
      if (!isGone()) options.onTrouble(`it has no certificate: ${messageOf(error)}`)
    }
  }

  /** A certificate first, if it comes soon: beside an agent that is being replaced, listeners without one would refuse what that one could carry. */
  const certifySoon = (): Promise<void> =>
    new Promise((resolve) => {
      const cancel = clock.after(certificateMs, () => {
        late = true
        onChange()
        resolve()
      })
      void certify().then(() => {
        cancel()
        resolve()
      })
    })

  const end = async (): Promise<void> => {
    phase = 'gone'
    cancelLeave?.()
    identity.release()
    await traffic.close()
    network.close()
  }

  const settled = (): Promise<void> => new Promise((resolve) => void clock.after(settleMs, resolve))

  const takeBack = async (done: (step: LeaveStep) => void): Promise<void> => {
    try {
      // New connections pass by; those that are there are still translated.
      await network.relax()
      rules = false
      // Not before: its rules must not be in the way of the next one's.
      handOver = () => {
        handOver = undefined
        handedOver = true
        done('handed over')
      }
      if (wantedBack) handOver()
      await settled()
      await traffic.drain(lastMs)
      await settled()
      for (let waitedMs = 0; waitedMs < slowestMs && !isGone() && network.unsent(); waitedMs += settleMs) await settled()
      handOver = undefined
      if (!isGone() && !handedOver) await network.release()
    } catch (error) {
      options.onTrouble(`its rules could not be taken back: ${messageOf(error)}`)
    }
    if (isGone()) return
    await end()
    done('over')
  }

  return {
    start: async () => {
      try {
        await certifySoon()
        if (isGone()) return
        await traffic.start()
        await options.letNodeReach()
        await network.capture()
        rules = true
      } catch (error) {
        await end()
        throw error
      }
    },
    leave: (done) => {
      wantedBack = false
      if (phase !== 'here') return
      phase = 'leaving'
      onChange()
      cancelLeave = clock.after(heardMs, () => {
        cancelLeave = undefined
        void takeBack(done)
      })
    },
    stay: () => {
      if (phase !== 'leaving') return
      if (cancelLeave === undefined) {
        wantedBack = true
        handOver?.()
        return
      }
      cancelLeave()
      cancelLeave = undefined
      phase = 'here'
      onChange()
    },
    state: () => (phase !== 'here' ? 'leaving' : rules && certified ? 'captured' : 'waiting'),
    problem: () => (late && !certified && phase === 'here' ? 'it has no certificate yet, and what needs one is refused: the log of the agent, or of the controller, says why' : ''),
    inForce: () => rules,
    mend: async () => {
      if (phase !== 'here' || !rules) return undefined
      if (await traffic.deaf()) return isGone() ? undefined : 'listeners'
      if (isGone() || !(await network.damaged()) || isGone()) return undefined
      await network.capture()
      return 'rules'
    },
    stats: traffic.stats,
    drain: async (deadlineMs) => {
      if (phase === 'gone') return
      await traffic.drain(deadlineMs)
      await end()
    },
    close: end,
  }
}
