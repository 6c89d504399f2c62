import type { FromThread, PodRequest } from './messages.ts'

/** What a thread answered. */
export type Answer = Omit<Extract<FromThread, { type: 'done' }>, 'type' | 'call'>

/** What is asked of all threads and answered by each. */
export interface Calls {
  /** Resolves when every thread that there is has answered or is gone, with the answers. */
  readonly ask: (pod: number, request: PodRequest) => Promise<readonly Answer[]>
  readonly answered: (slot: number, call: number, answer: Answer) => void
  /** The thread of a slot answers nothing any more. */
  readonly gone: (slot: number) => void
}

interface Call {
  readonly awaited: Set<number>
  readonly answers: Answer[]
  readonly resolve: (answers: readonly Answer[]) => void
}

export function createCalls({ slots, tell }: {
  /** Of the threads that there are. */
  readonly slots: () => readonly number[]
  readonly tell: (call: number, pod: number, request: PodRequest) => void
}): Calls {
  const calls = new Map<number, Call>()
  let last = 0
  const settle = (id: number, { awaited, answers, resolve }: Call): void => {
    if (awaited.size > 0) return
    calls.delete(id)
    resolve(answers)
  }
  return {
    ask: (pod, request) => new Promise((resolve) => {
      const id = ++last
      const call: Call = { awaited: new Set(slots()), answers: [], resolve }
      calls.set(id, call)
      tell(id, pod, request)
      settle(id, call)
    }),
    answered: (slot, id, answer) => {
      const call = calls.get(id)
      if (call?.awaited.delete(slot) !== true) return
      call.answers.push(answer)
      settle(id, call)
    },
    gone: (slot) => {
      for (const [id, call] of calls) if (call.awaited.delete(slot)) settle(id, call)
    },
  }
}
