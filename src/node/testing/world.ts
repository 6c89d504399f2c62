import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { systemClock, type Clock } from '../../kit/clock.ts'
import { entryKey, speakersKey, type SpeakersEntry, type Endpoint, type Entry, type ServiceEntry, type WorkloadEntry } from '../../model/entries.ts'
import type { Snapshot } from '../../model/snapshot.ts'
import type { ConnectionRecord } from '../../telemetry/connections.ts'
import { testMesh, type TestMesh, type TestSource } from '../../transport/testing/mesh.ts'
import { createLoads, type Loads } from '../traffic/loads.ts'
import { createCapturedPod, type CapturedPod } from '../traffic/pod.ts'
import { guardsOf, type PodGuards } from '../traffic/guards.ts'
import { compileView, defaultMeshPorts, type TrafficView } from '../traffic/view.ts'
import { loopbackPod, type LoopbackPod } from './sockets.ts'

export interface PodOptions {
  readonly namespace?: string
  readonly node?: string
  /** Not captured: it only has an address. */
  readonly captured?: boolean
  readonly certified?: boolean
  readonly entry?: Partial<WorkloadEntry>
}

/** A pod of the world; its service account has its name. */
export interface WorldPod extends LoopbackPod {
  readonly name: string
  readonly captured: CapturedPod
  readonly source: TestSource
  readonly id: string
  workload: WorkloadEntry
  /** Connects as the pod's application, to be captured on its way out. */
  readonly connect: (host: string, port: number) => Socket
  /** Listens as the pod's application. */
  readonly listen: (onConnection: (socket: Socket) => void, port?: number) => Promise<number>
  /** As an endpoint of a Service. */
  readonly endpoint: (port: number, more?: Partial<Endpoint>) => Endpoint
}

/** Some captured pods on loopback, with real sockets and real TLS. */
export interface World {
  readonly mesh: TestMesh
  readonly loads: Loads
  /** Connections that ended. */
  readonly records: ConnectionRecord[]
  readonly pod: (name: string, options?: PodOptions) => Promise<WorldPod>
  /** Adds or replaces a Service with port 80. @returns its ClusterIP */
  readonly service: (name: string, endpoints: readonly Endpoint[], more?: Partial<ServiceEntry>) => string
  /** Adds the waypoint of a namespace. @returns its credentials */
  readonly waypoint: (namespace: string, addresses?: readonly { readonly host: string; readonly port: number }[]) => TestSource
  readonly put: (...entries: readonly Entry[]) => void
  readonly remove: (key: string) => void
  /** Gives every captured pod what was added since. */
  readonly publish: () => void
  readonly view: () => TrafficView
  readonly application: (address: string, onConnection: (socket: Socket) => void, port?: number) => Promise<number>
  readonly close: () => Promise<void>
}

export function startWorld({ unknown = 'pass', clock = systemClock }: { readonly unknown?: 'pass' | 'refuse'; readonly clock?: Clock } = {}): World {
  const mesh = testMesh('cluster.local')
  const loads = createLoads({ now: clock.now, random: Math.random })
  const entries = new Map<string, Entry>()
  const records: ConnectionRecord[] = []
  const pods: WorldPod[] = []
  const servers: Server[] = []
  const sockets = new Set<Socket>()
  let services = 0

  const put = (...added: readonly Entry[]): void => {
    for (const entry of added) entries.set(entryKey(entry), entry)
  }
  const guards = new Map<WorldPod, PodGuards>()
  const guardsNow = (pod: WorldPod, snapshot: Snapshot): PodGuards => {
    const known = guards.get(pod)
    const present = known?.holds(pod.workload, snapshot) === true ? known : guardsOf(pod.workload, snapshot)
    guards.set(pod, present)
    return present
  }
  const view = (): TrafficView => compileView(new Map(entries), { node: 'n1', unknown })
  const application: World['application'] = async (address, onConnection, port = 0) => {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.once('close', () => sockets.delete(socket))
      onConnection(socket)
    })
    servers.push(server)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, address, resolve)
    })
    return (server.address() as AddressInfo).port
  }

  return {
    mesh, loads, records, put, view, application,
    remove: (key) => void entries.delete(key),
    pod: async (name, { namespace = 'shop', node = 'n1', captured = true, certified = true, entry = {} } = {}) => {
      const net = loopbackPod()
      const source = mesh.source(name, namespace)
      const id = mesh.id(name, namespace)
      const workload: WorkloadEntry = { kind: 'workload', namespace, name, addresses: [net.address], serviceAccount: name, identity: id, enrolled: captured, node, ...entry }
      const pod: WorldPod = {
        ...net, name, source, id, workload,
        captured: createCapturedPod({
          network: net.network, originalDestination: net.originalDestination, clock, loads, telemetry: { connectionDone: (record) => void records.push(record) },
        }),
        connect: (host, port) => net.connectTo(defaultMeshPorts.outbound, { host, port }),
        listen: (onConnection, port) => application(net.address, onConnection, port),
        endpoint: (port, more = {}) => ({
          address: net.address, port, condition: 'ready', pod: name, node,
          transport: captured ? { kind: 'hbone', port: defaultMeshPorts.hbone, identity: id } : { kind: 'plain' }, ...more,
        }),
      }
      put(workload)
      pods.push(pod)
      if (captured) {
        if (certified) await pod.captured.certify(source)
        await pod.captured.start()
      }
      return pod
    },
    service: (name, endpoints, more = {}) => {
      services++
      const known = entries.get(`service/shop/${name}`) as ServiceEntry | undefined
      const clusterIPs = known?.clusterIPs ?? [`10.96.0.${services}`]
      const service: ServiceEntry = { kind: 'service', namespace: 'shop', name, clusterIPs, headless: false, ports: [{ port: 80, protocol: 'auto' }], ...more }
      put(service, { kind: 'endpoints', namespace: service.namespace, name, ports: [{ port: 80, endpoints }] })
      return clusterIPs[0] ?? ''
    },
    waypoint: (namespace, addresses = []) => {
      const identity = mesh.id('waypoint', namespace)
      const known = entries.get(speakersKey) as SpeakersEntry | undefined
      put({ kind: 'waypoint', namespace, name: 'waypoint', identity, addresses }, { kind: 'speakers', namespace: '', name: 'mesh', waypoints: { ...known?.waypoints, [identity]: namespace } })
      return mesh.source('waypoint', namespace)
    },
    publish: () => {
      const present = view()
      for (const pod of pods) if (pod.workload.enrolled) pod.captured.update({ view: present, guards: guardsNow(pod, present.index.snapshot) })
    },
    close: async () => {
      for (const { captured } of pods) await captured.close()
      for (const server of servers) server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** Everything that a connection says until it ends; rejects if it is reset. */
export function readAll(socket: Duplex): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    socket.on('data', (chunk: Buffer) => { text += chunk.toString('latin1') })
    socket.on('end', () => resolve(text))
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('closed without an end')))
  })
}

/** Sends `text` and its end, and reads what comes. */
export function exchange(socket: Socket, text: string): Promise<string> {
  socket.end(text)
  return readAll(socket)
}

/** The code of the error that a connection ends with. */
export async function failureOf(socket: Socket): Promise<string> {
  const said = await readAll(socket).then((text) => `ended cleanly after ${JSON.stringify(text)}`, (error: unknown) => (error as NodeJS.ErrnoException).code ?? (error as Error).message)
  socket.destroy()
  return said
}

/** Waits until `holds`, five seconds at most. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const endMs = Date.now() + 5_000
  while (!holds()) {
    if (Date.now() > endMs) throw new Error(`not within 5 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
