import { createInterface } from 'node:readline'
import type { Answer, Operation, Operations, Question } from '../protocol.ts'
import { grpc } from './grpc.ts'
import { requests, until } from './http.ts'
import { load } from './load.ts'
import { raw, udp } from './raw.ts'
import { tcp, websocket } from './sockets.ts'

type Perform = { readonly [Name in Operation]: (spec: Operations[Name]['spec'], stopped: AbortSignal) => Promise<Operations[Name]['result']> }

/** Reads questions from stdin and answers each when it is done, several at a time; ends with stdin. */
export async function drive(): Promise<void> {
  const running = new Map<number, AbortController>()
  const open = new Set<Promise<void>>()
  const perform: Perform = {
    requests, until, load, grpc, tcp, raw, udp, websocket,
    stop: ({ id }) => {
      running.get(id)?.abort()
      return Promise.resolve(running.has(id))
    },
    clock: () => Promise.resolve(Date.now()),
  }
  const say = (answer: Answer): void => void process.stdout.write(`${JSON.stringify(answer)}\n`)

  for await (const line of createInterface({ input: process.stdin })) {
    const question = JSON.parse(line) as Question
    const name = Object.keys(question).find((key): key is Operation => key in perform)
    const { id } = question
    if (name === undefined) {
      say({ id, error: `this driver knows ${Object.keys(perform).join(', ')}` })
      continue
    }
    const control = new AbortController()
    running.set(id, control)
    const work = perform[name] as (spec: unknown, stopped: AbortSignal) => Promise<unknown>
    const answered = work(question[name], control.signal)
      .then((result) => say({ id, result }), (error: unknown) => say({ id, error: error instanceof Error ? error.message : String(error) }))
      .finally(() => {
        running.delete(id)
        open.delete(answered)
      })
    open.add(answered)
  }
  for (const control of running.values()) control.abort()
  await Promise.all(open)
  process.stdout.write('', () => process.exit(0))
}
