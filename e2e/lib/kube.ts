import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { ChildProcess } from 'node:child_process'
import { end, run, start } from './command.ts'
import { kinds, pathOf, type Kind, type KindName, type KubeObject } from './objects.ts'

/** An answer of the API server other than success. */
export class KubeError extends Error {
  override readonly name = 'KubeError'
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** An event of a watch. */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'
  readonly object: KubeObject
}

/**
 * The API server of the suite's cluster, reached through one `kubectl proxy` on a Unix socket: whatever credentials and networks kubectl knows of,
 * work, and a look costs a millisecond and not a process.
 */
export interface Kube {
  readonly get: (kind: KindName | Kind, namespace: string | undefined, name: string) => Promise<KubeObject>
  /** Undefined if there is no such object. */
  readonly find: (kind: KindName | Kind, namespace: string | undefined, name: string) => Promise<KubeObject | undefined>
  /** @param namespace undefined: of all namespaces */
  readonly list: (kind: KindName | Kind, namespace?: string, labelSelector?: string) => Promise<readonly KubeObject[]>
  /** Server-side apply as `waymark-e2e`. @returns the object as it is then */
  readonly apply: (object: KubeObject) => Promise<KubeObject>
  readonly create: (object: KubeObject) => Promise<KubeObject>
  /** JSON merge patch. */
  readonly patch: (kind: KindName | Kind, namespace: string | undefined, name: string, change: object, subresource?: string) => Promise<KubeObject>
  /** What is gone already is fine. */
  readonly remove: (kind: KindName | Kind, namespace: string | undefined, name: string, gracePeriodSeconds?: number) => Promise<void>
  readonly scale: (namespace: string, deployment: string, replicas: number) => Promise<void>
  /** Any request of the API, for what the others lack. */
  readonly raw: (method: string, path: string, body?: unknown, type?: string) => Promise<unknown>
  /** Tells all that is there and every change until `signal` ends it or the server closes the stream. */
  readonly watch: (kind: KindName | Kind, namespace: string | undefined, onEvent: (event: WatchEvent) => void, signal: AbortSignal) => Promise<void>
  /** `kubectl` itself, for logs, exec, rollouts. */
  readonly kubectl: (args: readonly string[], options?: { readonly timeoutMs?: number; readonly input?: string; readonly signal?: AbortSignal }) => Promise<string>
  /** A `kubectl` that stays; whoever starts it ends it. */
  readonly start: (args: readonly string[]) => ChildProcess
  readonly kubeconfig: string
  /** Where `kubectl proxy` listens: a Unix socket, for programs that must reach the API server as kubectl does. */
  readonly socketPath: string
  readonly close: () => void
}

const fieldManager = 'waymark-e2e'

/** @throws if kubectl does not serve within 20 seconds */
export async function connectKube(kubeconfig: string, signal?: AbortSignal): Promise<Kube> {
  const folder = mkdtempSync(join(tmpdir(), 'waymark-e2e-'))
  const socketPath = join(folder, 'api.sock')
  const configured = ['--kubeconfig', kubeconfig]
  const proxy = start('kubectl', [...configured, 'proxy', `--unix-socket=${socketPath}`])
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  const close = (): void => {
    agent.destroy()
    end(proxy, 'SIGTERM')
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await serving(proxy)
  } catch (error) {
    close()
    throw error
  }

  const send = async (method: string, path: string, body: unknown, type: string, timeoutMs: number, ends: AbortSignal | undefined): Promise<IncomingMessage> => {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers = { accept: 'application/json', ...(text === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(text) }) }
    const request = httpRequest({ socketPath, agent, method, path, headers, timeout: timeoutMs, ...(ends === undefined ? {} : { signal: ends }) })
    request.on('timeout', () => request.destroy(new Error(`the API server did not answer ${method} ${path} within ${timeoutMs / 1000} s`)))
    const answered = once(request, 'response') as Promise<[IncomingMessage]>
    request.end(text)
    const [response] = await answered
    // The error of a stream that is cut is thrown by whoever reads it.
    request.on('error', () => {})
    return response
  }
  const raw = async (method: string, path: string, body?: unknown, type = 'application/json'): Promise<unknown> => {
    // What a run has made is deleted also when it was stopped.
    const response = await send(method, path, body, type, 20_000, method === 'DELETE' ? undefined : signal)
    response.setEncoding('utf8')
    let text = ''
    for await (const chunk of response) text += chunk as string
    const status = response.statusCode ?? 0
    const parsed = text.startsWith('{') ? (JSON.parse(text) as { readonly message?: string }) : undefined
    if (status >= 300) throw new KubeError(status, `${method} ${path}: ${status} ${parsed?.message ?? text.slice(0, 300)}`)
    return parsed ?? text
  }
  const kindOf = (kind: KindName | Kind): Kind => (typeof kind === 'string' ? kinds[kind] : kind)
  const kubectl: Kube['kubectl'] = async (args, options = {}) => (await run('kubectl', [...configured, ...args], { ...(signal === undefined ? {} : { signal }), ...options })).stdout

  const get: Kube['get'] = async (kind, namespace, name) => (await raw('GET', pathOf(kindOf(kind), namespace, name))) as KubeObject
  const patch: Kube['patch'] = async (kind, namespace, name, change, subresource) =>
    (await raw('PATCH', `${pathOf(kindOf(kind), namespace, name)}${subresource === undefined ? '' : `/${subresource}`}?fieldManager=${fieldManager}`, change, 'application/merge-patch+json')) as KubeObject
  const absent = (error: unknown): undefined => {
    if (error instanceof KubeError && error.status === 404) return undefined
    throw error
  }
  return {
    get, patch, raw, kubectl, close, kubeconfig, socketPath,
    find: (kind, namespace, name) => get(kind, namespace, name).catch(absent),
    list: async (kind, namespace, labelSelector) => {
      const of = kindOf(kind)
      const query = labelSelector === undefined ? '' : `?labelSelector=${encodeURIComponent(labelSelector)}`
      const { items } = (await raw('GET', `${pathOf(of, namespace)}${query}`)) as { readonly items: readonly KubeObject[] }
      // A list's items lack what is the list's own.
      return items.map((item) => ({ ...item, ...of }))
    },
    apply: async (object) =>
      (await raw('PATCH', `${pathOf(object, object.metadata.namespace, object.metadata.name)}?fieldManager=${fieldManager}&force=true`, object, 'application/apply-patch+yaml')) as KubeObject,
    create: async (object) => (await raw('POST', `${pathOf(object, object.metadata.namespace)}?fieldManager=${fieldManager}`, object)) as KubeObject,
    remove: async (kind, namespace, name, gracePeriodSeconds) => {
      const options = { propagationPolicy: 'Background', ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }) }
      await raw('DELETE', pathOf(kindOf(kind), namespace, name), options).catch(absent)
    },
    scale: async (namespace, deployment, replicas) => {
      await patch('Deployment', namespace, deployment, { spec: { replicas } }, 'scale')
    },
    watch: async (kind, namespace, onEvent, ends) => {
      try {
        const response = await send('GET', `${pathOf(kindOf(kind), namespace)}?watch=true`, undefined, '', 600_000, ends)
        if (response.statusCode !== 200) throw new KubeError(response.statusCode ?? 0, `the watch was answered with ${response.statusCode ?? 0}`)
        for await (const line of createInterface({ input: response })) onEvent(JSON.parse(line) as WatchEvent)
      } catch (error) {
        if (!ends.aborted) throw error
      }
    },
    start: (args) => start('kubectl', [...configured, ...args]),
  }
}

async function serving(proxy: ChildProcess): Promise<void> {
  let said = ''
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`kubectl proxy does not serve: ${said}`)), 20_000)
    const look = (text: Buffer): void => {
      said += text.toString()
      if (!said.includes('Starting to serve')) return
      clearTimeout(timer)
      resolve()
    }
    proxy.stdout?.on('data', look)
    proxy.stderr?.on('data', look)
    proxy.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'ENOENT' ? new Error('kubectl is not in PATH; install it, or add its folder to PATH') : error))
    proxy.once('close', () => {
      clearTimeout(timer)
      reject(new Error(`kubectl proxy ended: ${said}`))
    })
  })
}
