import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, get, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run, type Running, type RunOptions } from '../run.ts'

/** Backends on free ports, a folder of manifests that names them, and the mesh that runs it. */
export interface World {
  readonly directory: string
  readonly mesh: Running
  readonly log: readonly string[]
  readonly write: (file: string, manifests: string) => Promise<void>
  /** GET through the entry of `namespace`. */
  readonly ask: (namespace: string, url: string, headers?: Record<string, string>) => Promise<Answer>
  readonly close: () => Promise<void>
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Starts a backend that answers with `name`, and with the request's headers as JSON on `/headers`. */
export async function startBackend(name: string): Promise<Server> {
  const server = createServer((request, response) => {
    response.end(request.url?.startsWith('/headers') === true ? JSON.stringify(request.headers) : name)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

/** A Service of one port 80 whose endpoints are the backends. */
export function serviceManifest(namespace: string, name: string, backends: readonly Server[]): string {
  const slices = backends.map((backend, at) => {
    const { port } = backend.address() as AddressInfo
    return `
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}-${at}, namespace: ${namespace}, labels: { kubernetes.io/service-name: ${name} } }
addressType: IPv4
ports: [{ name: http, port: ${port} }]
endpoints: [{ addresses: [127.0.0.1] }]`
  })
  return `
---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${namespace} }
spec: { ports: [{ name: http, port: 80 }] }${slices.join('')}`
}

/** A namespace with a waypoint. */
export function waypointManifest(namespace: string): string {
  return `
---
apiVersion: v1
kind: Namespace
metadata: { name: ${namespace} }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: waypoint, namespace: ${namespace} }
spec: { gatewayClassName: waypoint, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }`
}

/** A route in `namespace` from one Service to weighted others of the Service's namespace. */
export function routeManifest(namespace: string, service: { readonly namespace: string; readonly name: string }, backends: Readonly<Record<string, number>>): string {
  const refs = Object.entries(backends).map(([name, weight]) => `{ name: ${name}, namespace: ${service.namespace}, port: 80, weight: ${weight} }`)
  return `
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: ${service.name}, namespace: ${namespace} }
spec:
  parentRefs: [{ group: "", kind: Service, name: ${service.name}, namespace: ${service.namespace} }]
  rules: [{ backendRefs: [${refs.join(', ')}] }]`
}

/** Runs the mesh of `files`, with an entry on a free port for the service account `app` of each of `namespaces`. */
export async function startWorld(files: Readonly<Record<string, string>>, namespaces: readonly string[], changes: Partial<RunOptions> = {}): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), 'waymark-world-'))
  const write = (file: string, manifests: string): Promise<void> => writeFile(join(directory, file), manifests)
  for (const [file, manifests] of Object.entries(files)) await write(file, manifests)
  const log: string[] = []
  const mesh = await run({
    directory, watch: true, host: '127.0.0.1', trustDomain: 'cluster.local', log: (line) => log.push(line),
    entries: namespaces.map((namespace) => ({ namespace, serviceAccount: 'app', port: 0 })), ...changes,
  })
  return {
    directory, mesh, log, write,
    ask: (namespace, url, headers = {}) => {
      const entry = mesh.entries().find(({ identity }) => identity.namespace === namespace)
      if (entry === undefined) throw new Error(`no entry for ${namespace}`)
      return ask(entry.address, url, headers)
    },
    close: async () => {
      await mesh.close(1_000)
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** GET by a forward proxy. */
export function ask(proxy: { readonly host: string; readonly port: number }, url: string, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = get({ host: proxy.host, port: proxy.port, path: url, agent: false, headers: { host: new URL(url).host, ...headers } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() }))
    })
    request.on('error', reject)
  })
}

/** Waits until `holds`, at most 10 s. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 1_000; turn++) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`it did not come to pass within 10 s: ${what}`)
}
