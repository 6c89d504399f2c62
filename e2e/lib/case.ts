import type { Installation } from './install.ts'
import type { Client } from './client.ts'
import type { Kube } from './kube.ts'
import type { KubeObject } from './objects.ts'

/** Namespaces of the standing place; in manifests and in a case's own words they stand for the real ones, whose names are unique. */
export type Role = string

/** A namespace that is made for cases, and what runs in it. */
export interface Room {
  /** Label `waymark.dev/mesh: enabled`; true by default. */
  readonly mesh?: boolean
  /** Other labels of the Namespace. */
  readonly labels?: Readonly<Record<string, string>>
  /** A Gateway `waypoint` and its parameters (data of the ConfigMap); false: none. By default one pod, without autoscaling. */
  readonly waypoint?: false | Readonly<Record<string, string>>
  /** Deployments of the test application, by name, labelled `app: NAME`. */
  readonly apps?: Readonly<Record<string, App>>
  /** A pod `client` that enters the mesh as service account `client`; where pods are captured an ordinary one, on that node if it matters. */
  readonly client?: boolean | NodeRole
  /** Ordinary pods in which a driver can be started, by name, and where they run: nothing in them knows of the mesh. */
  readonly drivers?: Readonly<Record<string, NodeRole>>
  /** A pod and Service `collector` that takes traces on port 4318. */
  readonly collector?: boolean
}

/** How clients' connections come into the mesh: by the proxy in their pod, or captured by the agent of their node, as plain as they are. */
export type Entry = 'connect' | 'captured'

/** Which of the cluster's nodes. */
export type NodeRole = 'control-plane' | 'worker'

export interface App {
  /** What it says of itself; label `version`. */
  readonly version: string
  /** Label `app`; `echo` by default. */
  readonly app?: string
  /** 1 by default. */
  readonly replicas?: number
  /** What the port named `http` is; 8080 by default. */
  readonly httpPort?: number
  /** The status of its answers that nothing else asks for; 200 by default. */
  readonly answer?: number
  /** Default: wherever the scheduler puts it. */
  readonly node?: NodeRole
}

export type Place = Readonly<Record<Role, Room>>

/**
 * `traffic`: beside others. `measured`: one by one after those. `background`: what takes minutes and disturbs nobody, beside `measured` ones and beside
 * those of `traffic` that have no place of their own.
 * `disruptive`: one by one when all those are done, for they take parts of the mesh away. `captured`: one by one at the very end, when node agents
 * have been switched on; no other group runs with them.
 */
export type Group = 'traffic' | 'measured' | 'background' | 'disruptive' | 'captured'

/** Something that the mesh does on a cluster: what is there, and what must then be seen. */
export interface Case {
  readonly name: string
  /** Names of Gateway API features (`HTTPRouteRequestTimeout`), or words of ours. */
  readonly features: readonly string[]
  /** `traffic` by default. */
  readonly group?: Group
  /**
   * Of `traffic` cases: by which entries it runs, each time as a case of its own; by default only `connect`. The one with `captured` is of that group,
   * is called so, and has ordinary pods as clients, each request over a connection of its own.
   */
  readonly entries?: readonly Entry[]
  /** Of `captured` cases: it runs beside others of them, before all that run one by one. Those that name the very same place run one after another. */
  readonly beside?: true
  /**
   * Namespaces of its own; without it the case shares the standing place (see place.ts) with others, and its objects bear its own names.
   * Cases that run one by one and name the very same object share it, as the one before has left it.
   */
  readonly place?: Place
  /** What is applied before `run`; `metadata.namespace` and every `namespace` in a reference is a role. */
  readonly manifests: readonly KubeObject[]
  /** Routes, by name, that will not be in force when `run` begins: they are not waited for. */
  readonly notInForce?: readonly string[]
  /** How long certificates must live when it begins; the installation is changed to it. Undefined: it does not matter. */
  readonly svidLifetimeSeconds?: number
  /** Seconds for `run`; 60 by default. */
  readonly limitSeconds?: number
  /** Throws if something is not as it must be. What it returns, if anything, is printed beside its line. */
  readonly run: (context: Context) => Promise<string | undefined> | Promise<void>
}

/** What a case has at hand. */
export interface Context {
  readonly kube: Kube
  readonly installation: Installation
  readonly entry: Entry
  /**
   * Does `assertions` often, one after another, a few at a time, and ends with the first that fails: two backends behind one Service answer right by luck
   * half of the time. 50 times from captured pods; by `connect`, where the same waypoints have judged all of it before, once.
   */
  readonly inARow: (assertions: () => Promise<void>) => Promise<void>
  /** Ends what waits, when the case's time is up or the run is stopped. */
  readonly signal: AbortSignal
  /** The real name of a role's namespace. */
  readonly namespace: (role: Role) => string
  /** The driver in the namespace's client pod. */
  readonly client: (role: Role) => Promise<Client>
  /** The driver in an ordinary pod of the namespace, which sends straight, as any program does; started in `container` if it is not there yet. */
  readonly driver: (role: Role, pod: string, container?: string) => Promise<Client>
  /** `http://SERVICE.NAMESPACE:PORT/PATH`; port 80. */
  readonly url: (role: Role, service: string, path?: string, port?: number) => string
  /** `SERVICE.NAMESPACE:PORT`. */
  readonly target: (role: Role, service: string, port: number) => string
  /** Objects with real namespaces in place of roles. */
  readonly placed: (objects: readonly KubeObject[]) => readonly KubeObject[]
  /** Applies objects, waits until they are in force as with `manifests`, and gives what the server made of them. */
  readonly apply: (objects: readonly KubeObject[], notInForce?: readonly string[]) => Promise<readonly KubeObject[]>
  /** Waits until `probe` gives something; see wait.ts. */
  readonly until: <T>(what: string, probe: () => Promise<T | undefined | false>, withinMs?: number) => Promise<T>
  /** A line for the log of the run. */
  readonly log: (line: string) => void
}

/** How often what `inARow` is given must hold from captured pods. */
export const inARow = 50

/** Both ways in. */
export const everyEntry = ['connect', 'captured'] as const satisfies readonly Entry[]

/** The entry of a case's clients. */
export function entryOf({ group }: Pick<Case, 'group'>): Entry {
  return group === 'captured' ? 'captured' : 'connect'
}

/** A case for each of its entries. */
export function byEntry(one: Case): readonly Case[] {
  const { entries = ['connect'], ...rest } = one
  if (one.group === 'captured') return [rest]
  return entries.map((entry) => (entry === 'connect' ? rest : { ...rest, name: `captured: ${one.name}`, features: [...one.features, 'node agent'], group: 'captured', beside: true }))
}

/** A file's cases, with their types. */
export function defineCases(cases: readonly Case[]): readonly Case[] {
  return cases
}
