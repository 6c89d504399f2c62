import type { ChildProcess } from 'node:child_process'
import type {
  GrpcReply, GrpcSpec, LoadResult, LoadSpec, Operation, Operations, RawReply, RawSpec, Reply, RequestsSpec, TcpReply, TcpSpec, UdpReply, UdpSpec, UntilResult, UntilSpec, WebSocketReply, WebSocketSpec,
} from '../app/protocol.ts'
import { end, start } from './command.ts'
import type { Kube } from './kube.ts'
import { dialogue, type Dialogue } from './lines.ts'
import { insideOf, processOf } from './nodes.ts'

/** Answers of the entry that only say that news of a Service has not reached it yet. */
const notYet = ['unknown-destination', 'no-configuration', 'no-waypoint', 'no-endpoint'] as const

export interface RequestOptions {
  /** Waits, the first time, until the destination is known to the entry, or to the node's agent and the waypoint; true by default, but for drivers. */
  readonly settle?: boolean
}

/** A load that runs in the client's pod. */
export interface Load {
  /** When its time is over, or it was stopped. */
  readonly done: Promise<LoadResult>
  readonly stop: () => Promise<LoadResult>
}

/** Sends traffic from a client's pod, through one process there that stays. Nothing but `settle` waits for anything. */
export interface Client {
  readonly pod: string
  /** Whether its process has ended, as it does with the API server that it is reached through. */
  readonly gone: () => boolean
  /** Headers and bodies are in the replies unless `brief`. */
  readonly requests: (spec: RequestsSpec, options?: RequestOptions) => Promise<readonly Reply[]>
  readonly request: (url: string, more?: Omit<RequestsSpec, 'url' | 'count' | 'concurrency'>, options?: RequestOptions) => Promise<Reply>
  readonly until: (spec: UntilSpec) => Promise<UntilResult>
  /** Begins when the destination is known; resolves as soon as the load runs. */
  readonly load: (spec: LoadSpec, options?: RequestOptions) => Promise<Load>
  readonly grpc: (spec: GrpcSpec) => Promise<readonly GrpcReply[]>
  readonly tcp: (spec: TcpSpec) => Promise<readonly TcpReply[]>
  readonly raw: (spec: RawSpec) => Promise<readonly RawReply[]>
  readonly udp: (spec: UdpSpec) => Promise<readonly UdpReply[]>
  readonly websocket: (spec: WebSocketSpec) => Promise<WebSocketReply>
  readonly close: () => void
}

const drive = ['node', '/app/main.ts', 'drive'] as const

/** Where a driver runs, and how it sends. */
export interface DriverPlace {
  readonly pod?: string
  readonly container?: string
  /**
   * What takes the place of the pod's entry for whatever does not say otherwise: `direct` in pods that have none. `captured` is that with a connection for each
   * request, and knows what is to be waited for where the node's agent leads requests to a waypoint.
   */
  readonly via?: 'direct' | 'captured'
}

/**
 * Starts the driver in a pod, by default that of the namespace's client.
 * @throws when a question is asked and the driver is gone, with what kubectl said
 */
export function startClient(kube: Kube, namespace: string, { pod = 'client', container = 'driver', via }: DriverPlace = {}): Client {
  return clientOver(kube.start(['exec', '-i', '-n', namespace, pod, '-c', container, '--', ...drive]), namespace, pod, via)
}

/**
 * As `startClient`, by way of the pod's node in place of the API server, which may end meanwhile. On kind a node is a container.
 * @throws if the pod's container does not run
 */
export async function startClientOnNode(kube: Kube, namespace: string, { pod = 'client', container = 'driver', via }: DriverPlace = {}): Promise<Client> {
  return clientOver(start(...insideOf(await processOf(kube, namespace, pod, container), drive)), namespace, pod, via)
}

function clientOver(child: ChildProcess, namespace: string, pod: string, via: DriverPlace['via']): Client {
  const usual = via === undefined ? {} : via === 'direct' ? { via } : { via: 'direct', fresh: true }
  let said = ''
  child.stderr?.on('data', (text: Buffer) => (said = `${said}${text.toString()}`.slice(-2_000)))
  if (child.stdin === null || child.stdout === null) throw new Error('the driver was started without pipes')
  const talk: Dialogue = dialogue(child.stdin, child.stdout)
  child.once('error', (error) => talk.fail(error))
  let gone = false
  child.once('close', () => {
    gone = true
    talk.fail(new Error(`the driver in ${namespace}/${pod} is gone: ${said.trim()}`))
  })

  const ask = <Name extends Operation>(name: Name, spec: Operations[Name]['spec'], limitMs: number): Promise<Operations[Name]['result']> =>
    within(limitMs, `${name} in ${namespace}/${pod}`, talk.ask(name, spec).result)

  const known = new Map<string, Promise<void>>()
  /** News of a Service that was just made reach the entry after a moment; the first request to a host and port waits for that. */
  const settle = async (spec: RequestsSpec, { settle: wanted = via !== 'direct' }: RequestOptions): Promise<void> => {
    if (!wanted || spec.via === 'direct') return
    const { host } = new URL(spec.url)
    // Before an agent has heard of a Service, connections to it pass as they are.
    const awaited = via === 'captured' ? { ...usual, byWaypoint: true } : { reasonOtherThan: notYet, ...(spec.via === undefined ? {} : { via: spec.via }) }
    const knowing = known.get(host) ?? ask('until', { url: `http://${host}/`, ...awaited, everyMs: 50, withinMs: 30_000 }, 60_000)
      .then(({ held, reply }) => {
        if (!held) throw new Error(`http://${host}/ was not reached within 30 s: ${reply.status} ${reply.reason ?? reply.error ?? ''} ${reply.body ?? ''}`)
      })
    known.set(host, knowing)
    await knowing
  }
  const requests: Client['requests'] = async (spec, options = {}) => {
    await settle(spec, options)
    const { count = 1, concurrency = 1, timeoutMs = 15_000 } = spec
    return ask('requests', { ...usual, ...spec }, 30_000 + Math.ceil(count / concurrency) * timeoutMs)
  }
  return {
    pod, requests,
    gone: () => gone,
    request: async (url, more = {}, options = {}) => {
      const [reply] = await requests({ url, ...more }, options)
      if (reply === undefined) throw new Error('the driver gave no reply')
      return reply
    },
    until: (spec) => ask('until', { ...usual, ...spec }, (spec.withinMs ?? 30_000) + 30_000),
    load: async (spec, options = {}) => {
      await settle(spec, options)
      const { id, result } = talk.ask('load', { ...usual, ...spec })
      const done = within(spec.forSeconds * 1000 + 60_000, `the load in ${namespace}/${pod}`, result)
      done.catch(() => {})
      return {
        done,
        stop: async () => {
          await ask('stop', { id }, 10_000)
          return done
        },
      }
    },
    grpc: (spec) => ask('grpc', { ...usual, ...spec }, 60_000 + (spec.count ?? 1) * 1_000),
    tcp: (spec) => ask('tcp', { ...usual, ...spec }, 30_000 + (spec.count ?? 1) * (spec.timeoutMs ?? 10_000)),
    raw: (spec) => ask('raw', { ...usual, ...spec }, 30_000 + Math.ceil((spec.count ?? 1) / (spec.concurrency ?? 1)) * (spec.timeoutMs ?? 10_000)),
    udp: (spec) => ask('udp', spec, 30_000 + (spec.count ?? 1) * (spec.timeoutMs ?? 5_000)),
    websocket: (spec) => ask('websocket', { ...usual, ...spec }, 30_000),
    close: () => {
      child.stdin?.end()
      end(child, 'SIGTERM')
    },
  }
}

async function within<T>(limitMs: number, what: string, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`${what} took longer than ${limitMs / 1000} s`)), limitMs)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
