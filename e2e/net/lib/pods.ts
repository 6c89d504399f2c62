import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
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
  const open = new Map<number, PromiseWithResolvers<unknown>>()
  const ready = Promise.withResolvers<unknown>()
  open.set(0, ready)
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, result, failed } = JSON.parse(line) as { readonly id: number; readonly result?: unknown; readonly failed?: string }
    if (failed === undefined) open.get(id)?.resolve(result)
    else open.get(id)?.reject(new Error(`${namespace}: ${failed}`))
    open.delete(id)
  })
  child.once('exit', (code) => {
    for (const each of open.values()) each.reject(new Error(`the process in ${namespace} ended (${code ?? 'killed'})`))
  })
  let last = 0
  await ready.promise
  return {
    ask: <Name extends Operation>(operation: Name, spec: Operations[Name]['spec']) => {
      const waiting = Promise.withResolvers<unknown>()
      open.set(++last, waiting)
      child.stdin.write(`${JSON.stringify({ id: last, operation, spec })}\n`)
      return waiting.promise as Promise<Operations[Name]['result']>
    },
    stop: () => end(child, 'SIGKILL'),
  }
}

/** Ends a process and waits until it is gone. */
export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill(signal)
  await gone
}
