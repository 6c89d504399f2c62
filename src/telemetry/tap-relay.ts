import type { Clock } from '../kit/clock.ts'
import { TapOutput, type TapPoint, type TapRequest, type TapSink, type TapSource } from './tap.ts'

/** What the thread that is asked says to those that have the records. Plain data. */
export type ToTap =
  | { readonly type: 'tap'; readonly id: number; readonly request: TapRequest }
  | { readonly type: 'untap'; readonly id: number }

/** What these answer. */
export interface FromTap {
  readonly type: 'tapped'
  readonly id: number
  readonly lines: readonly string[]
  readonly dropped: number
}

/** Looks at the records of other threads as if they were this one's. */
export class TapRelay implements TapSource {
  private readonly clock: Clock
  private readonly tell: (message: ToTap) => void
  private readonly open = new Map<number, { readonly request: TapRequest; readonly output: TapOutput }>()
  private last = 0

  /** @param tell says something to every thread that there is */
  constructor(clock: Clock, tell: (message: ToTap) => void) {
    this.clock = clock
    this.tell = tell
  }

  readonly subscribe = (request: TapRequest, sink: TapSink): (() => void) => {
    const id = ++this.last
    const output = new TapOutput(this.clock, request.rate, sink)
    this.open.set(id, { request, output })
    this.tell({ type: 'tap', id, request })
    return () => {
      output.close()
      if (this.open.delete(id)) this.tell({ type: 'untap', id })
    }
  }

  /** What a thread must be told that has just come. */
  readonly present = (): readonly ToTap[] => [...this.open].map(([id, { request }]) => ({ type: 'tap', id, request }))

  /** Takes what a thread says. */
  readonly receive = ({ id, lines, dropped }: FromTap): void => {
    const output = this.open.get(id)?.output
    for (const line of lines) output?.offer(() => line)
    output?.drop(dropped)
  }
}

/** Does in a thread what a relay asks for. @param say sends something to the relay @returns takes what the relay says */
export function answerTaps(point: TapPoint, say: (message: FromTap) => void): (message: ToTap) => void {
  const stops = new Map<number, () => void>()
  return (message) => {
    stops.get(message.id)?.()
    stops.delete(message.id)
    if (message.type === 'untap') return
    const { id, request } = message
    stops.set(id, point.subscribe(request, { write: (lines, dropped) => say({ type: 'tapped', id, lines, dropped }), ready: () => true }))
  }
}
