import { connect, type Socket } from 'node:net'
import { messageOf } from '../../src/kit/message.ts'
import { answer } from '../agent/answer.ts'
import { runScript } from '../children.ts'

/** Requests at a steady rate over kept connections, whether or not earlier ones are answered. */
export interface ClientCommand {
  readonly host: string
  readonly port: number
  readonly path: string
  readonly connections: number
  /** Requests a second. */
  readonly rate: number
  readonly ms: number
}

export interface ClientResult {
  /** Milliseconds from the moment at which a request was due, or could first be sent, until its whole answer; sorted. */
  readonly latencies: readonly number[]
  /** Requests that had to wait for a connection. */
  readonly waited: number
}

const kept = new Map<string, readonly Line[]>()

runScript(() => {
  process.on('message', (command: ClientCommand) => {
    run(command).then((done) => process.send?.(done), (error: unknown) => process.send?.({ failed: messageOf(error) }))
  })
  return Promise.resolve({ port: 0 })
})

/** A connection with one request on its way at most. */
interface Line {
  readonly send: (request: Buffer, startMs: number, done: (ms: number) => void) => void
  readonly busy: () => boolean
  readonly failed: () => Error | undefined
}

async function open(host: string, port: number): Promise<Line> {
  const socket = await new Promise<Socket>((resolve, reject) => {
    const made: Socket = connect({ host, port, noDelay: true }, () => resolve(made))
    made.once('error', reject)
  })
  let pending: { readonly startMs: number; readonly done: (ms: number) => void } | undefined
  let got = 0
  let failure: Error | undefined
  socket.on('error', (error) => { failure ??= error })
  socket.on('close', () => { failure ??= new Error(`a connection to ${host}, port ${port}, was closed`) })
  socket.on('data', (chunk) => {
    got += chunk.length
    if (got < answer.length || pending === undefined) return
    const { startMs, done } = pending
    pending = undefined
    got -= answer.length
    done(performance.now() - startMs)
  })
  return {
    send: (request, startMs, done) => {
      pending = { startMs, done }
      socket.write(request)
    },
    busy: () => pending !== undefined,
    failed: () => failure,
  }
}

async function run({ host, port, path, connections, rate, ms }: ClientCommand): Promise<ClientResult> {
  const key = `${host}:${port}`
  const lines = kept.get(key) ?? (await Promise.all(Array.from({ length: connections }, () => open(host, port))))
  kept.set(key, lines)
  const request = Buffer.from(`GET ${path} HTTP/1.1\r\nhost: backend\r\nuser-agent: bench/1\r\naccept: */*\r\n\r\n`)
  const total = Math.round((rate * ms) / 1000)
  const latencies: number[] = []
  const waiting: number[] = []
  let waited = 0
  let due = 0
  const beginMs = performance.now()
  return new Promise((resolve, reject) => {
    const give = (line: Line, startMs: number): void => line.send(request, startMs, (taken) => {
      latencies.push(taken)
      const next = waiting.shift()
      if (next !== undefined) give(line, next)
      else if (latencies.length === total) resolve({ latencies: latencies.sort((a, b) => a - b), waited })
    })
    const tick = (): void => {
      const failed = lines.find((each) => each.failed() !== undefined)?.failed()
      if (failed !== undefined || performance.now() - beginMs > ms + 30_000) {
        reject(failed ?? new Error(`${latencies.length} of ${total} requests were answered`))
        return
      }
      const now = performance.now()
      // Timers come a little late: what was due meanwhile is due now, or the timer would be measured.
      const until = Math.min(total, Math.floor(((now - beginMs) * rate) / 1000))
      for (; due < until; due++) {
        const line = lines.find((each) => !each.busy())
        if (line !== undefined) give(line, now)
        else {
          waited++
          waiting.push(now)
        }
      }
      if (latencies.length < total) setTimeout(tick, 1)
    }
    tick()
  })
}
