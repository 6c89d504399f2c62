import type { Credentials } from '../src/model/credentials.ts'
import type { Identity } from '../src/model/identity.ts'
import { next, type Child } from './children.ts'

interface TargetBase {
  readonly port: number
  readonly path: string
  readonly hostHeader: string
}

/** Where requests are sent, and how: by tunnels, all in one session or each in its own, or by a TLS connection each. */
export type Target =
  | (TargetBase & { readonly kind: 'hbone'; readonly authority: string; readonly peer: Identity; readonly sessions: 'shared' | 'one-each' })
  | (TargetBase & { readonly kind: 'tls' })

export interface LoadOptions {
  readonly credentials: Credentials
}

export type LoadCommand =
  | { readonly kind: 'open'; readonly name: string; readonly target: Target; readonly connections: number }
  | { readonly kind: 'run'; readonly name: string; readonly requests: number }

/** The load generator, from the outside. */
export interface Load {
  readonly open: (name: string, target: Target, connections: number) => Promise<void>
  /** @returns milliseconds from the first request to the last answer; rejects if one answer was not a whole 200 */
  readonly run: (name: string, requests: number) => Promise<number>
}

export function loadOf(child: Child): Load {
  const ask = async (command: LoadCommand): Promise<{ readonly ms?: number }> => {
    const answer = next<{ readonly ms?: number }>(child.process, `load on ${command.name}`, 120_000)
    child.process.send(command)
    return answer
  }
  return {
    open: async (name, target, connections) => {
      await ask({ kind: 'open', name, target, connections })
    },
    run: async (name, requests) => (await ask({ kind: 'run', name, requests })).ms ?? 0,
  }
}
