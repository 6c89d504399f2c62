import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { ownPlurals } from '../../../crds/load.ts'
import { KubeError } from '../../kube/errors.ts'
import type { KubeObject } from '../../kube/object.ts'
import type { PodPage } from '../../kube/port-forward.ts'
import { checkVerb, type CheckVerbOptions } from '../check/verb.ts'
import { agentDump, type AgentDumpOptions } from '../agent-dump.ts'
import { configDump, type ConfigDumpOptions } from '../config-dump.ts'
import type { Io } from '../io.ts'
import { status, type StatusAccess } from '../status.ts'
import { tap, type TapOptions } from '../tap.ts'
import { waypointApply, waypointDelete, waypointList, type WaypointApplyOptions } from '../waypoints.ts'
import { addAgents, startBare, startMesh, waitingClock, type SimulatedMesh } from './mesh.ts'

/** What a verb says of a cluster in some state. */
export interface ClusterCase {
  /** Holds what it must say. */
  readonly file: string
  readonly start: () => Promise<SimulatedMesh>
  /** Brings the cluster into that state. */
  readonly arrange?: (mesh: SimulatedMesh) => unknown
  readonly run: (mesh: SimulatedMesh, io: Io) => Promise<number>
}

export const namespace = 'waymark-system'
export const gatewayApi = 'gateway.networking.k8s.io/v1'
export const day = 86_400_000
export const access = (mesh: SimulatedMesh): StatusAccess => ({ client: mesh.server.client({ namespace: 'shop' }), podPorts: mesh.podPorts, clock: waitingClock() })
export const check = (options: Partial<CheckVerbOptions> = {}): ClusterCase['run'] => (mesh, io) => checkVerb({ pre: false, namespace, output: 'table', ...options }, io, access(mesh))
export const pre = check({ pre: true })
export const apply = (options: Partial<WaypointApplyOptions> = {}, place?: string): ClusterCase['run'] => (mesh, io) =>
  waypointApply(place, { name: 'waypoint', enrollNamespace: false, dryRun: false, wait: false, timeout: 5, ...options }, io, access(mesh))
export const remove = (name: string, wait = false): ClusterCase['run'] => (mesh, io) => waypointDelete(name, { wait, timeout: 5 }, io, access(mesh))
export const dump = (what: string, options: Partial<ConfigDumpOptions> = {}): ClusterCase['run'] => (mesh, io) => configDump(what, { diff: false, output: 'yaml', ...options }, io, access(mesh))
export const agents = (options: Partial<AgentDumpOptions> = {}): ClusterCase['run'] => (mesh, io) => agentDump({ namespace, output: 'table', ...options }, io, access(mesh))
export const look = (what: string, options: Partial<TapOptions> = {}): ClusterCase['run'] => async (mesh, io) => {
  const code = await tap(what, { rate: 100, output: 'table', ...options }, io, { ...access(mesh), stopped: new Promise(() => {}) })
  for (const each of mesh.asked.filter((page) => page.includes('/tap')).sort()) io.say(`asked ${each}`)
  return code
}
export const withAgents = async (): Promise<SimulatedMesh> => {
  const mesh = await startMesh()
  addAgents(mesh)
  await mesh.settle()
  return mesh
}
export const show = (output: 'table' | 'json' = 'table'): ClusterCase['run'] => (mesh, io) => status({ namespace, output }, io, access(mesh))
export const list = (allNamespaces: boolean, output: 'table' | 'json' = 'table'): ClusterCase['run'] => (mesh, io) => waypointList({ allNamespaces, output }, io, access(mesh))

export const bare = (): Promise<SimulatedMesh> => startBare()
export const page = (text: string, code = 200): PodPage => ({ status: code, text })
export const refused = new KubeError(403, '', 'GET of port 15020: 403 pods/portforward is forbidden')
export const notReady = (more: object = {}): object => ({ status: { conditions: [{ type: 'Ready', status: 'False' }], ...more } })
export const waiting = (reason: string, more: object = {}): object => ({ containerStatuses: [{ name: 'waymark', ready: false, image: 'images.example/waymark:9', state: { waiting: { reason } }, ...more }] })
export const labelled = (name: string, labels: object, annotations: object = {}): KubeObject => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: labels as Record<string, string>, annotations: annotations as Record<string, string> } })
export const ownDefinitions = (): readonly KubeObject[] =>
  ownPlurals.map((plural) => parse(readFileSync(new URL(`../../../crds/waymark/${plural}.yaml`, import.meta.url), 'utf8')) as KubeObject)

