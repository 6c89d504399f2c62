import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { Answer, Operation, Operations } from '../app/protocol.ts'

/** Questions to a driver and their answers, told apart by ids. */
export interface Dialogue {
  /** @returns the answer and the question's id, with which `stop` can end it early @throws if the driver says that it failed, or if it ends */
  readonly ask: <Name extends Operation>(name: Name, spec: Operations[Name]['spec']) => { readonly id: number; readonly result: Promise<Operations[Name]['result']> }
  /** Fails every question that is open and all that follow. */
  readonly fail: (error: Error) => void
}

/** Speaks the driver's protocol over a process's streams. */
export function dialogue(stdin: Writable, stdout: Readable): Dialogue {
  const open = new Map<number, PromiseWithResolvers<unknown>>()
  let broken: Error | undefined
  let last = 0
  createInterface({ input: stdout }).on('line', (line) => {
    const answer = JSON.parse(line) as Answer
    const waiting = open.get(answer.id)
    open.delete(answer.id)
    if ('error' in answer) waiting?.reject(new Error(answer.error))
    else waiting?.resolve(answer.result)
  })
  stdin.on('error', () => {})
  return {
    ask: <Name extends Operation>(name: Name, spec: Operations[Name]['spec']) => {
      const id = ++last
      const waiting = Promise.withResolvers<unknown>()
      if (broken === undefined) {
        open.set(id, waiting)
        stdin.write(`${JSON.stringify({ id, [name]: spec })}\n`)
      } else waiting.reject(broken)
      return { id, result: waiting.promise as Promise<Operations[Name]['result']> }
    },
    fail: (error) => {
      broken = error
      for (const waiting of open.values()) waiting.reject(error)
      open.clear()
    },
  }
}
