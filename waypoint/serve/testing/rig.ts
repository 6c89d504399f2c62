import { generateKeyPairSync } from 'node:crypto'
import { createServer, request as httpRequest, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { connect as http2Connect, type ClientHttp2Session } from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { issueSvid } from '../../../ca/issue.ts'
import { makeRoot, randomSerial } from '../../../ca/root.ts'
import { systemClock, type Clock } from '../../../src/kit/clock.ts'
import type { Endpoint, Entry } from '../../../src/model/entries.ts'
import { formatSpiffeId, type Identity } from '../../../src/model/identity.ts'
import type { CountedEvent, ExchangeRecord, Telemetry, WaypointState } from '../../../src/telemetry/telemetry.ts'
import { createHboneClient, type HboneClient } from '../../../src/transport/hbone-client.ts'
import { toldCredentials, type ToldCredentials } from '../../../src/publish/threads.ts'
import { snapshotOf } from '../../config/compile.ts'
import { startWaypoint, type Waypoint } from '../../waypoint.ts'
import { defaultLimits, type WaypointLimits } from '../limits.ts'

const trustDomain = 'mesh.example'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
  readonly trailers: Readonly<Record<string, string | undefined>>
}

export interface Ask {
  /** Namespace of the caller; `books` (the waypoint's) if not given. */
  readonly from?: string
  /** Original destination; `10.0.0.1:80` if not given. */
  readonly to?: string
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

/** A real waypoint of namespace `books` with real TLS, callers and backends on loopback. */
export interface Rig {
  readonly waypoint: Waypoint
  readonly records: ExchangeRecord[]
  readonly counts: Map<CountedEvent, number>
  readonly configure: (entries: readonly Entry[]) => void
  /** Starts an HTTP/1.1 backend and gives its endpoint. */
  readonly backend: (handler: RequestListener) => Promise<Endpoint & { readonly server: Server }>
  /** Registers something to be closed with the rig. */
  readonly onClose: (close: () => void) => void
  readonly source: (namespace: string, serviceAccount: string) => ToldCredentials
  readonly client: (namespace?: string) => HboneClient
  /** A tunnel of a caller of namespace `from`. */
  readonly open: (from?: string, to?: string) => Promise<Duplex>
  /** One HTTP/1.1 request in a tunnel of its own. */
  readonly ask: (ask?: Ask) => Promise<Answer>
  /** An HTTP/2 session in a tunnel of its own. */
  readonly http2: (from?: string, to?: string) => Promise<ClientHttp2Session>
  /** Resolves when no request is in flight any more. @throws if that does not come about */
  readonly settled: () => Promise<void>
  readonly close: () => Promise<void>
}

export interface RigOptions {
  readonly clock?: Clock
  readonly limits?: Partial<WaypointLimits>
}

export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const root = makeRoot(trustDomain, { nowMs: Date.now() })
  const closers: (() => void)[] = []
  const clients = new Map<string, HboneClient>()
  const records: ExchangeRecord[] = []
  let observed: (() => WaypointState) | undefined
  const counts = new Map<CountedEvent, number>()
  const telemetry: Telemetry = {
    startTrace: () => undefined,
    exchangeDone: (record) => void records.push(record),
    count: (event) => void counts.set(event, (counts.get(event) ?? 0) + 1),
    observe: (state) => void (observed = state),
  }
  const source = (namespace: string, serviceAccount: string): ToldCredentials => {
    const identity: Identity = { trustDomain, namespace, serviceAccount }
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const notBeforeMs = Date.now() - 60_000
    const notAfterMs = Date.now() + 3_600_000
    const der = issueSvid(root, { identity, publicKey: publicKey.export({ type: 'spki', format: 'der' }), notBeforeMs, notAfterMs, serial: randomSerial() })
    return toldCredentials({
      identity,
      certificateChainPem: `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`,
      privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      trustBundlePem: [root.rootPem],
      notBeforeMs,
      notAfterMs,
    })
  }
  const waypoint = await startWaypoint({
    namespace: 'books', name: 'waypoint', credentials: source('books', 'waypoint'), trustDomain, host: '127.0.0.1', port: 0,
    telemetry, clock: options.clock ?? systemClock,
    limits: { ...defaultLimits, drainIdleMs: 50, ...options.limits },
    sessionKey: Buffer.alloc(32, 7),
  })
  const client = (namespace = 'books'): HboneClient => {
    let found = clients.get(namespace)
    if (found === undefined) clients.set(namespace, (found = createHboneClient({ credentials: source(namespace, 'app'), clock: systemClock })))
    return found
  }
  const open: Rig['open'] = (from, to = '10.0.0.1:80') =>
    client(from).connect({
      host: '127.0.0.1', port: waypoint.address.port, authority: to,
      peer: { kind: 'identity', id: formatSpiffeId({ trustDomain, namespace: 'books', serviceAccount: 'waypoint' }) },
    })
  return {
    waypoint,
    records,
    counts,
    source,
    client,
    open,
    onClose: (close) => void closers.push(close),
    configure: (entries) => waypoint.configure(snapshotOf(entries)),
    backend: async (handler) => {
      const server = createServer({ keepAliveTimeout: 60_000 }, handler)
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      closers.push(() => {
        server.close()
        server.closeAllConnections()
      })
      return { ...endpoint((server.address() as AddressInfo).port), server }
    },
    ask: async (ask = {}) => askOver(await open(ask.from, ask.to), ask),
    http2: async (from, to) => {
      const tunnel = await open(from, to)
      const session = http2Connect('http://mesh', { createConnection: () => tunnel })
      session.on('error', () => {})
      closers.push(() => session.destroy())
      return session
    },
    settled: async () => {
      for (let i = 0; i < 1000; i++) {
        if (observed?.().requestsInFlight === 0) return
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      throw new Error(`${observed?.().requestsInFlight ?? 'no'} requests are still in flight`)
    },
    close: async () => {
      for (const each of clients.values()) each.close()
      for (const close of closers) close()
      await waypoint.close()
    },
  }
}

/** One HTTP/1.1 request on a tunnel. */
export async function askOver(tunnel: Duplex, ask: Ask): Promise<Answer> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = httpRequest({
      createConnection: () => tunnel, method: ask.method ?? 'GET', path: ask.path ?? '/',
      headers: { host: 'reviews', connection: 'close', ...ask.headers },
    })
    request.once('response', resolve)
    request.once('error', reject)
    request.end(ask.body)
  })
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString(), trailers: response.trailers }
}

/** A plain endpoint on loopback. */
export function endpoint(port: number): Endpoint {
  return { address: '127.0.0.1', port, condition: 'ready', transport: { kind: 'plain' } }
}
