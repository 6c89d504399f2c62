import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { createInterface } from 'node:readline'
import type { Span } from '../../app/collector.ts'
import type { Operation, Operations } from '../testing/protocol.ts'

/** A process that lives in a namespace and does what it is told: applications and a client. */
export interface PodProcess {
  readonly ask: <Name extends Operation>(operation: Name, spec: Operations[Name]['spec']) => Promise<Operations[Name]['result']>
  readonly stop: () => Promise<void>
}

const program = join(import.meta.dirname, '../testing/pod.ts')

/** Starts the applications in the namespace `namespace`. */
export async function startPod(namespace: string): Promise<PodProcess> {
  const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, program, namespace], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ask = await converse(child, namespace)
  return { ask: ask as PodProcess['ask'], stop: () => end(child, 'SIGKILL') }
}

/** What takes the spans that are sent to port 4318 of a namespace. */
export interface CollectorProcess {
  readonly spans: (traceId: string) => Promise<readonly Span[]>
  readonly stop: () => Promise<void>
}

/** Starts a collector of spans in the namespace `namespace`. */
export async function startCollector(namespace: string): Promise<CollectorProcess> {
  const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, join(import.meta.dirname, '../testing/collector.ts')], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ask = await converse(child, 'the collector')
  return { spans: (traceId) => ask('spans', traceId) as Promise<readonly Span[]>, stop: () => end(child, 'SIGKILL') }
}

/**
 * Speaks with a program by lines of JSON: `{ id, operation, spec }` to it, `{ id, result }` or `{ id, failed }` from it, which says `{ id: 0 }` when it is ready.
 * @param name of the program, for errors
 */
export async function converse(child: ChildProcessByStdio<Writable, Readable, null>, name: string): Promise<(operation: string, spec: unknown) => Promise<unknown>> {
  const open = new Map<number, PromiseWithResolvers<unknown>>()
  const ready = Promise.withResolvers<unknown>()
  open.set(0, ready)
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, result, failed } = JSON.parse(line) as { readonly id: number; readonly result?: unknown; readonly failed?: string }
    if (failed === undefined) open.get(id)?.resolve(result)
    else open.get(id)?.reject(new Error(`${name}: ${failed}`))
    open.delete(id)
  })
  child.once('exit', (code) => {
    for (const each of open.values()) each.reject(new Error(`the process in ${name} ended (${code ?? 'killed'})`))
  })
  let last = 0
  await ready.promise
  return (operation, spec) => {
    const waiting = Promise.withResolvers<unknown>()
    open.set(++last, waiting)
    child.stdin.write(`${JSON.stringify({ id: last, operation, spec })}\n`)
    return waiting.promise
  }
}

/** Ends a process and waits until it is gone. */
export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill(signal)
  await gone
}
