import { Agent, request, type RequestOptions } from 'node:https'
import { Agent as PlainAgent, request as requestPlain, type IncomingMessage } from 'node:http'
import { KubernetesObjectApi, type KubeConfig, type RequestContext, type ResponseContext } from '@kubernetes/client-node'
import { messageOf } from '../kit/message.ts'
import { install } from '../model/install.ts'
import { KubeError, kubeError } from './errors.ts'
import type { KubeObject } from './object.ts'
import { objectPath, parentPath, type KubeRef } from './paths.ts'

export type Query = Readonly<Record<string, string | number | boolean | undefined>>

export interface WriteOptions {
  readonly subresource?: 'status' | 'scale' | 'eviction'
  readonly query?: Query
}

/** Talks to one API server. Every method throws `KubeError` for an answer that is not 2xx, and with status 0 if none came. */
export interface KubeClient {
  /** Base URL. */
  readonly server: string
  /** Namespace of the kubeconfig's context or of the pod. */
  readonly namespace: string
  /** GET as JSON. */
  readonly get: (path: string, query?: Query) => Promise<unknown>
  /** GET of one object; undefined if it is not there. */
  readonly read: (ref: KubeRef) => Promise<KubeObject | undefined>
  /** GET whose body is read as it comes; 2xx only. Ends when `signal` is aborted. */
  readonly stream: (path: string, query: Query, signal: AbortSignal) => Promise<IncomingMessage>
  readonly create: (object: KubeObject, options?: WriteOptions) => Promise<KubeObject>
  /** PUT; with a `resourceVersion` it fails with 409 if the object has changed since. */
  readonly replace: (object: KubeObject, options?: WriteOptions) => Promise<KubeObject>
  /** Server-side apply, forced. */
  readonly apply: (object: KubeObject, fieldManager: string, options?: WriteOptions) => Promise<KubeObject>
  /** JSON merge patch. */
  readonly patch: (ref: KubeRef, patch: object, options?: WriteOptions) => Promise<KubeObject>
  /** Deletes in the background; an object that is gone already is fine. With `uid`, only that very object. */
  readonly remove: (ref: KubeRef, uid?: string) => Promise<void>
  /** Reads token and certificates anew before the next request: to be called after a 401. If they can not be read, that request says so. */
  readonly refresh: () => void
  readonly close: () => void
}

/** Milliseconds until an ordinary request must be answered. */
const requestTimeoutMs = 30_000

/**
 * @param load reads the kubeconfig, or what a pod was given; called again by `refresh`
 * @throws if there is no cluster in it
 */
export function createKubeClient(load: () => KubeConfig): KubeClient {
  let config = load()
  const cluster = config.getCurrentCluster()
  if (cluster === null) throw new Error('the kubeconfig names no cluster; set a context: kubectl config use-context NAME')
  let writer = config.makeApiClient(Writer)
  let agent: Agent | PlainAgent | undefined
  const base = new URL(cluster.server)
  /** What was asked for by `refresh` and could not be had yet. */
  let outdated = false

  /** @throws KubeError: whoever asks for a refresh is in the middle of a failure, and must not be met by another one */
  const renewed = (): void => {
    if (!outdated) return
    try {
      const next = load()
      const nextWriter = next.makeApiClient(Writer)
      writer.close()
      config = next
      writer = nextWriter
    } catch (error) {
      throw new KubeError(0, '', `the kubeconfig can not be read anew: ${messageOf(error)}`, undefined, { cause: error })
    }
    if (agent !== undefined) retire(agent)
    agent = undefined
    outdated = false
  }

  const options = async (): Promise<RequestOptions> => {
    renewed()
    const given: RequestOptions = {}
    try {
      await config.applyToHTTPSOptions(given)
    } catch (error) {
      // A token file that is gone, a plugin that fails, plain HTTP that nobody allowed.
      throw new KubeError(0, '', `the kubeconfig can not be used: ${messageOf(error)}`, undefined, { cause: error })
    }
    // The library's agent keeps no connection; a proxy's agent is its own.
    if (cluster.proxyUrl !== undefined) return given
    const { ca, cert, key, rejectUnauthorized, servername } = given
    agent ??=
      base.protocol === 'http:'
        ? new PlainAgent({ keepAlive: true })
        : new Agent({ keepAlive: true, ...defined({ ca, cert, key, rejectUnauthorized, servername }) })
    return { ...given, agent }
  }

  const open = async (path: string, query: Query, signal: AbortSignal): Promise<IncomingMessage> => {
    const given = await options()
    const url = new URL(`${base.pathname.replace(/\/$/, '')}${path}${search(query)}`, base)
    return new Promise((resolve, reject) => {
      const send = base.protocol === 'http:' ? requestPlain : request
      const sent = send(url, { ...given, method: 'GET', signal }, resolve)
      sent.setHeader('accept', 'application/json')
      sent.setHeader('user-agent', install.fieldManager)
      // On, not once: an abort may follow a reset.
      sent.on('error', (error) => reject(new KubeError(0, '', `GET ${path}: ${error.message}`, undefined, { cause: error })))
      sent.end()
    })
  }

  const stream = async (path: string, query: Query, signal: AbortSignal): Promise<IncomingMessage> => {
    const answer = await open(path, query, signal)
    const status = answer.statusCode ?? 0
    if (status >= 200 && status < 300) return answer
    throw kubeError(status, await textOf(answer).catch(() => ''), `GET ${path}`, answer.headers['retry-after'])
  }

  const get = async (path: string, query: Query = {}): Promise<unknown> => {
    const answer = await stream(path, query, AbortSignal.timeout(requestTimeoutMs))
    try {
      return JSON.parse(await textOf(answer)) as unknown
    } catch (error) {
      throw new KubeError(0, '', `GET ${path}: the answer is cut off or not JSON`, undefined, { cause: error })
    }
  }

  const write = async (method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body: object, contentType = 'application/json', query: Query = {}): Promise<KubeObject> => {
    renewed()
    return writer.send(method, `${path}${search(query)}`, body, contentType)
  }

  return {
    server: cluster.server,
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? 'default',
    get,
    read: async (ref) => {
      try {
        return (await get(objectPath(ref))) as KubeObject
      } catch (error) {
        if (error instanceof KubeError && error.status === 404) return undefined
        throw error
      }
    },
    stream,
    create: (object, { subresource, query } = {}) =>
      write('POST', subresource === undefined ? parentPath(refOf(object)) : objectPath(refOf(object), subresource), object, undefined, query),
    replace: (object, { subresource, query } = {}) => write('PUT', objectPath(refOf(object), subresource), object, undefined, query),
    apply: (object, fieldManager, { subresource, query } = {}) =>
      write('PATCH', objectPath(refOf(object), subresource), object, 'application/apply-patch+yaml', { ...query, fieldManager, force: true }),
    patch: (ref, patch, { subresource, query } = {}) => write('PATCH', objectPath(ref, subresource), patch, 'application/merge-patch+json', query),
    remove: async (ref, uid) => {
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background', ...(uid === undefined ? {} : { preconditions: { uid } }) }
      try {
        await write('DELETE', objectPath(ref), body)
      } catch (error) {
        if (!(error instanceof KubeError && (error.status === 404 || (error.status === 409 && uid !== undefined)))) throw error
      }
    },
    refresh: () => {
      outdated = true
    },
    close: () => {
      writer.close()
      agent?.destroy()
    },
  }
}

/** Lets an agent end with its last request: what others have on the way must not be cut because one answer was 401. */
function retire(agent: Agent | PlainAgent): void {
  agent.maxFreeSockets = 0
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy()
}

/** Sends writes through the library's transport and authentication, but whole: its typed serialisers drop fields that they do not know. */
class Writer extends KubernetesObjectApi {
  private dispatcher: ReturnType<RequestContext['getDispatcher']>

  /** Ends its connections when the last answer is there. */
  close(): void {
    this.dispatcher?.close().catch(() => {})
    this.dispatcher = undefined
  }

  async send(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body: object, contentType: string): Promise<KubeObject> {
    const what = `${method} ${path.replace(/\?.*$/, '')}`
    let answer: ResponseContext
    try {
      const context = this.configuration.baseServer.makeRequestContext(path, method)
      // The server of a kubeconfig may end with a slash.
      context.setUrl(context.getUrl().replace(/(?<!:)\/\//, '/'))
      context.setHeaderParam('content-type', contentType)
      context.setHeaderParam('accept', 'application/json')
      // The API server takes it for the field manager of writes that name none.
      context.setHeaderParam('user-agent', install.fieldManager)
      context.setBody(JSON.stringify(body))
      context.setSignal(AbortSignal.timeout(requestTimeoutMs))
      await this.configuration.authMethods.default?.applySecurityAuthentication(context)
      // The library makes a pool of connections for each request; one is enough.
      this.dispatcher ??= context.getDispatcher()
      if (this.dispatcher !== undefined) context.setDispatcher(this.dispatcher)
      answer = await this.configuration.httpApi.send(context).toPromise()
      const text = await answer.body.text()
      if (answer.httpStatusCode >= 200 && answer.httpStatusCode < 300) return JSON.parse(text) as KubeObject
      throw kubeError(answer.httpStatusCode, text, what, answer.headers['retry-after'])
    } catch (error) {
      if (error instanceof KubeError) throw error
      const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : ''
      throw new KubeError(0, '', `${what}: ${messageOf(error)}${cause}`, undefined, { cause: error })
    }
  }
}

/** How an object is named in a write. */
export function refOf(object: KubeObject): KubeRef {
  const { apiVersion, kind, metadata } = object
  return { apiVersion, kind, namespace: metadata.namespace, name: metadata.name }
}

function search(query: Query): string {
  const given = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.set(name, String(value))
  return given.size === 0 ? '' : `?${given.toString()}`
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

function defined<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>
}
