import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'
import { messageOf } from '../../src/kit/message.ts'
import { createKubeClient, type KubeClient } from '../../src/kube/client.ts'
import type { KubeObject } from '../../src/kube/object.ts'
import { change, scale, type Admit } from './changes.ts'
import { answerGroups } from './discovery.ts'
import { createFaults, type Fault, type Faults } from './faults.ts'
import { builtInKinds, guessKind, splitVersion, versionOf, type ServedKind } from './kinds.ts'
import { createPages } from './pages.ts'
import { without } from './fields.ts'
import { isWrite, parseRequest, servedVersion, type ApiRequest } from './requests.ts'
import { createTokens, type TokenReviewSpec, type TokenReviewStatus, type Tokens } from './reviews.ts'
import { fieldSelector, labelSelector } from './selectors.ts'
import { createStore, StatusError } from './store.ts'
import { createWatches, type Watches } from './watches.ts'

/** Names an object of any version. */
export interface ObjectName {
  readonly kind: string
  readonly namespace?: string | undefined
  readonly name: string
  /** Tells kinds of one name apart; default: the first that is found. */
  readonly group?: string
}

export interface ApiServerOptions {
  /** Changes of each kind that a watch can resume from; default 1000. */
  readonly historySize?: number
  /** Milliseconds between bookmarks; default 5000. */
  readonly bookmarkMs?: number
  /** The largest page of a list, whatever was asked for; default: what was asked for. */
  readonly pageSize?: number
  /** Answers TokenReviews; default: knows the tokens that `tokens.issue` gave out. */
  readonly tokenReview?: (spec: TokenReviewSpec) => TokenReviewStatus
  /** Says why an object is not taken in (422), as a CRD's schema would. */
  readonly admit?: Admit
  /** Port to listen on; default 0. */
  readonly port?: number
}

/** An API server in memory that speaks the real protocol over HTTP on loopback. */
export interface ApiServer {
  readonly url: string
  readonly port: number
  /** Puts an object there whole, status and all, making or replacing it. */
  readonly put: (object: KubeObject) => KubeObject
  readonly get: (name: ObjectName) => KubeObject | undefined
  readonly list: (kind: string, namespace?: string, group?: string) => readonly KubeObject[]
  /** @returns whether it was there */
  readonly delete: (name: ObjectName) => boolean
  /** The newest resourceVersion. */
  readonly version: () => number
  /** Serves a kind from now on. */
  readonly install: (kind: ServedKind) => void
  /** No longer serves a kind, as if its definition was deleted; its objects go, its watches end. @returns serves it again */
  readonly uninstall: (kind: string, group?: string) => () => void
  /** Answers 403 to these; a string is the reason. Also what SelfSubjectAccessReviews go by. @returns takes it away again */
  readonly forbid: (predicate: (request: ApiRequest) => boolean | string) => () => void
  /** @returns takes it away again */
  readonly fault: (fault: Fault) => () => void
  readonly clearFaults: Faults['clear']
  readonly watches: Omit<Watches, 'open'>
  /** Forgets the history: every older version answers 410, also continued lists. */
  readonly compact: () => void
  readonly tokens: Tokens
  /** Requests so far, by `verb path`. */
  readonly counts: () => ReadonlyMap<string, number>
  /** Requests that wrote so far, whatever their answer, newest last; only the last 10,000 are kept. */
  readonly writes: () => readonly ApiRequest[]
  /** Starts counting anew. */
  readonly resetCounts: () => void
  readonly kubeConfig: (user?: { readonly token?: string; readonly namespace?: string }) => KubeConfig
  /** The same as a file's text. */
  readonly kubeConfigText: (user?: { readonly token?: string; readonly namespace?: string }) => string
  readonly client: (user?: { readonly token?: string; readonly namespace?: string }) => KubeClient
  readonly close: () => Promise<void>
}

/** Bytes of the largest body. Source: the API server's limit. */
const maxBody = 3 * 1024 * 1024

/** Starts a server without objects. */
export async function startApiServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const kinds = builtInKinds()
  const store = createStore(() => kinds.values(), options.historySize ?? 1000)
  const faults = createFaults()
  const forbidden = new Set<(request: ApiRequest) => boolean | string>()
  const watches = createWatches(store, options.bookmarkMs ?? 5000)
  const pages = createPages(store, options.pageSize)
  const tokens = createTokens((plural, namespace, name) => {
    const kind = kinds.get(`/${plural}`)
    return kind === undefined ? undefined : store.get(kind, namespace, name)
  })
  const counts = new Map<string, number>()
  let writes: ApiRequest[] = []
  const clients: KubeClient[] = []

  const findKind = (name: string, group?: string): ServedKind | undefined => {
    for (const kind of kinds.values()) if (kind.kind === name && (group === undefined || kind.group === group)) return kind
    return undefined
  }
  const refusal = (request: ApiRequest): string | undefined => {
    for (const predicate of forbidden) {
      const said = predicate(request)
      if (said === false) continue
      return typeof said === 'string' ? said : `${request.resource || request.path} is forbidden: the user cannot ${request.verb} resource "${request.resource}" in API group "${request.group}"`
    }
    return undefined
  }

  const review = (request: ApiRequest, body: KubeObject): KubeObject | undefined => {
    if (request.resource === 'tokenreviews') {
      return { ...body, status: (options.tokenReview ?? tokens.review)(body['spec'] as TokenReviewSpec) }
    }
    if (request.resource === 'selfsubjectaccessreviews') {
      const asked = (body['spec'] as { resourceAttributes?: Partial<ApiRequest> }).resourceAttributes ?? {}
      const reason = refusal({ ...request, group: '', version: '', resource: '', subresource: '', namespace: '', name: '', path: '', ...asked, verb: asked.verb ?? 'get' })
      return { ...body, status: { allowed: reason === undefined, ...(reason === undefined ? {} : { reason }) } }
    }
    if (request.resource === 'serviceaccounts' && request.subresource === 'token') {
      const { audiences, boundObjectRef: bound } = body['spec'] as { audiences?: string[]; boundObjectRef?: { name: string; uid: string } }
      const token = tokens.issue({ namespace: request.namespace, serviceAccount: request.name, ...(audiences === undefined ? {} : { audiences }), ...(bound === undefined ? {} : { pod: bound }) })
      return { ...body, status: { token, expirationTimestamp: new Date(Date.now() + 3_600_000).toISOString() } }
    }
    return undefined
  }

  const answer = async (request: ApiRequest, message: IncomingMessage, response: ServerResponse): Promise<void> => {
    const reason = refusal(request)
    if (reason !== undefined) throw new StatusError(403, 'Forbidden', reason)
    const known = answerGroups(request, kinds.values())
    if (known !== undefined) { send(response, 200, known); return; }
    const kind = kinds.get(`${request.group}/${request.resource}`)
    const apiVersion = servedVersion(kind, request.version)
    if (kind === undefined || apiVersion === undefined) throw new StatusError(404, 'NotFound', 'the server could not find the requested resource')
    if (request.verb === 'get') {
      const object = store.get(kind, request.namespace, request.name)
      if (object === undefined) throw new StatusError(404, 'NotFound', `${request.resource}${kind.group === '' ? '' : `.${kind.group}`} "${request.name}" not found`)
      send(response, 200, request.subresource === 'scale' ? scale(object) : { ...object, apiVersion }); return;
    }
    if (request.verb === 'list' || request.verb === 'watch') {
      const labels = labelSelector(request.query.get('labelSelector') ?? undefined)
      const fields = fieldSelector(request.query.get('fieldSelector') ?? undefined)
      const selects = (object: KubeObject): boolean => labels(object) && fields(object)
      if (request.verb === 'watch') { watches.open(request, response, { kind, apiVersion, selects }); return; }
      send(response, 200, pages.list(request, kind, apiVersion, selects)); return;
    }
    const text = await bodyOf(message)
    const body: unknown = text === '' ? undefined : parse(text)
    const reviewed = review(request, body as KubeObject)
    if (reviewed !== undefined) { send(response, 201, reviewed); return; }
    const manager = request.query.get('fieldManager') ?? (message.headers['user-agent'] ?? 'unknown').replace(/\/.*/s, '')
    const [status, object] = change(store, request, kind, body, { contentType: message.headers['content-type'] ?? '', manager, admit: options.admit })
    send(response, status, 'metadata' in object ? { ...object, apiVersion } : object)
  }

  const server = createServer((message, response) => {
    const request = parseRequest(message)
    const counted = `${request.verb} ${request.path}`
    counts.set(counted, (counts.get(counted) ?? 0) + 1)
    if (isWrite(request)) {
      writes.push(request)
      if (writes.length > 20_000) writes = writes.slice(-10_000)
    }
    const fail = (error: unknown): void => {
      const { status, reason, message } = error instanceof StatusError ? error : new StatusError(400, 'BadRequest', messageOf(error))
      sendStatus(response, status, reason, message)
    }
    const run = (fault: Fault | undefined): void => {
      if (fault?.instead === 'hang') return
      if (fault?.instead === 'reset') return void message.socket.resetAndDestroy()
      if (fault?.status !== undefined) { sendStatus(response, fault.status, fault.reason ?? '', 'a fault was asked for', fault.retryAfter); return; }
      answer(request, message, response).catch(fail)
    }
    const fault = faults.meet(request)
    if ((fault?.delayMs ?? 0) > 0) setTimeout(() => run(fault), fault?.delayMs)
    else run(fault)
  })
  // As a real one: it does not let go of idle connections within seconds, nor of watches ever.
  server.keepAliveTimeout = 180_000
  server.requestTimeout = 0
  server.on('clientError', (_, socket) => socket.destroy())
  await new Promise<void>((resolve) => void server.listen(options.port ?? 0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`

  const kubeConfig: ApiServer['kubeConfig'] = ({ token = 'simulated', namespace = 'default' } = {}) => {
    const config = new KubeConfig()
    config.loadFromOptions({
      clusters: [{ name: 'simulated', server: url, skipTLSVerify: true }],
      users: [{ name: 'simulated', token }],
      contexts: [{ name: 'simulated', cluster: 'simulated', user: 'simulated', namespace }],
      currentContext: 'simulated',
    })
    return config
  }

  const kindOf = ({ kind, group }: ObjectName): ServedKind => {
    const found = findKind(kind, group)
    if (found === undefined) throw new Error(`the simulated server does not serve ${kind}`)
    return found
  }
  return {
    url,
    port,
    put: (given) => {
      const group = splitVersion(given.apiVersion)[0]
      let kind = findKind(given.kind, group)
      if (kind === undefined) {
        kind = guessKind(given)
        kinds.set(`${kind.group}/${kind.plural}`, kind)
      }
      const copy = structuredClone(given)
      const meta = without(copy.metadata, 'resourceVersion', 'managedFields')
      const namespace = kind.namespaced ? (meta.namespace ?? 'default') : undefined
      const object: KubeObject = { ...copy, apiVersion: versionOf(kind), metadata: { ...meta, ...(namespace === undefined ? {} : { namespace }) } }
      const there = store.get(kind, namespace ?? '', meta.name)
      return there === undefined ? store.create(kind, object, { part: 'all' }) : store.update(kind, sameObject(there, object), { part: 'all' })
    },
    get: (name) => store.get(kindOf(name), name.namespace ?? '', name.name),
    list: (kind, namespace, group) => store.list(kindOf({ kind, name: '', ...(group === undefined ? {} : { group }) }), namespace),
    delete: (name) => {
      const kind = kindOf(name)
      if (store.get(kind, name.namespace ?? '', name.name) === undefined) return false
      store.remove(kind, name.namespace ?? '', name.name)
      return true
    },
    version: store.version,
    install: (kind) => void kinds.set(`${kind.group}/${kind.plural}`, kind),
    uninstall: (name, group) => {
      const kind = kindOf({ kind: name, name: '', ...(group === undefined ? {} : { group }) })
      for (const { metadata } of store.list(kind)) store.remove(kind, metadata.namespace ?? '', metadata.name)
      kinds.delete(`${kind.group}/${kind.plural}`)
      watches.cut('end', (request) => request.group === kind.group && request.resource === kind.plural)
      return () => void kinds.set(`${kind.group}/${kind.plural}`, kind)
    },
    forbid: (predicate) => {
      forbidden.add(predicate)
      return () => forbidden.delete(predicate)
    },
    fault: faults.add,
    clearFaults: faults.clear,
    watches,
    compact: () => {
      store.compact()
      pages.expire()
    },
    tokens,
    counts: () => counts,
    writes: () => writes.slice(-10_000),
    resetCounts: () => {
      counts.clear()
      writes = []
    },
    kubeConfig,
    kubeConfigText: (user) => kubeConfig(user).exportConfig(),
    client: (user) => {
      const client = createKubeClient(() => kubeConfig(user))
      clients.push(client)
      return client
    },
    close: () => {
      for (const client of clients) client.close()
      return new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
    },
  }
}

/** What `put` writes over an object keeps its identity. */
function sameObject(there: KubeObject, object: KubeObject): KubeObject {
  return { ...object, metadata: { ...without(object.metadata, 'uid'), ...(there.metadata.uid === undefined ? {} : { uid: there.metadata.uid }) } }
}

function send(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
}

function sendStatus(response: ServerResponse, code: number, reason: string, message: string, retryAfter?: number): void {
  if (response.headersSent) return void response.destroy()
  if (retryAfter !== undefined) response.setHeader('retry-after', String(retryAfter))
  send(response, code, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new StatusError(400, 'BadRequest', `the body is not JSON: ${error instanceof Error ? error.message : ''}`)
  }
}

async function bodyOf(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of message) {
    size += (chunk as Buffer).length
    if (size > maxBody) throw new StatusError(413, 'RequestEntityTooLarge', `limit is ${maxBody} bytes`)
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString()
}

export type { ApiRequest, Fault, ServedKind }
