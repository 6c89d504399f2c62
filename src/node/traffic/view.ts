import type { CapturedDecision, DestinationIndex, UnknownDestinations } from '../../model/destination.ts'
import { decideCaptured, indexDestinations } from '../../model/destination.ts'
import type { Endpoint, ServiceEntry, WorkloadEntry } from '../../model/entries.ts'
import type { Identity } from '../../model/identity.ts'
import type { Snapshot } from '../../model/snapshot.ts'
import { speakersOf, type Speakers } from '../../policy/speaker.ts'
import type { PodGuards } from './guards.ts'
import { reachableEndpoints, zoneOfNode } from './topology.ts'

/** A configuration as the traffic of every captured pod of a node sees it; made once when a snapshot arrives. */
export interface TrafficView {
  readonly index: DestinationIndex
  readonly speakers: Speakers
  /** See `decideCaptured`; worked out once for each namespace and destination that the mesh knows. */
  readonly decide: (caller: Identity, address: string, port: number) => CapturedDecision
  /** See `reachableEndpoints`; worked out once for each list. */
  readonly reachable: (service: ServiceEntry, endpoints: readonly Endpoint[]) => readonly Endpoint[]
}

export interface ViewOptions {
  readonly node: string
  /** The node's zone; found in the snapshot if left out. */
  readonly zone?: string
  readonly unknown: UnknownDestinations
}

/** Decisions that are kept at most. */
const maxDecisions = 10_000

/** Makes the view of a snapshot. */
export function compileView(snapshot: Snapshot, { node, zone, unknown }: ViewOptions): TrafficView {
  const index = indexDestinations(snapshot)
  const place = placeOf(node, zone ?? zoneOfNode(allEndpoints(snapshot), node))
  const decisions = new Map<string, CapturedDecision>()
  const known = new WeakMap<readonly Endpoint[], readonly Endpoint[]>()
  return {
    index,
    speakers: speakersOf(snapshot),
    decide: (caller, address, port) => {
      const key = `${caller.namespace} ${address} ${port}`
      const kept = decisions.get(key)
      if (kept !== undefined) return kept
      const decision = decideCaptured(index, caller, address, port, unknown)
      // What the mesh does not know is as much as there are addresses.
      if (decision.kind === 'outside' || decision.kind === 'refused') return decision
      if (decisions.size >= maxDecisions) decisions.clear()
      decisions.set(key, decision)
      return decision
    },
    reachable: (service, endpoints) => {
      let found = known.get(endpoints)
      if (found === undefined) known.set(endpoints, (found = reachableEndpoints(service, endpoints, place)))
      return found
    },
  }
}

function placeOf(node: string, zone: string | undefined): { readonly node: string; readonly zone?: string } {
  return zone === undefined ? { node } : { node, zone }
}

function* allEndpoints(snapshot: Snapshot): Iterable<Endpoint> {
  for (const entry of snapshot.values()) {
    if (entry.kind === 'endpoints') for (const { endpoints } of entry.ports) yield* endpoints
  }
}

/** Workloads of a node by uid. */
export function workloadsOn(node: string, snapshot: Snapshot): ReadonlyMap<string, WorkloadEntry> {
  const found = new Map<string, WorkloadEntry>()
  for (const entry of snapshot.values()) if (entry.kind === 'workload' && entry.node === node && entry.uid !== undefined) found.set(entry.uid, entry)
  return found
}

/** What a captured pod must know. */
export interface PodConfig {
  readonly view: TrafficView
  readonly guards: PodGuards
  /** The pod as it was before guards came that some waypoints may not have heard of yet: see `isUnaware`. */
  readonly before?: WorkloadEntry
}

/** The ports of the mesh in a pod's namespace. */
export interface MeshPorts {
  readonly outbound: number
  readonly plaintext: number
  readonly hbone: number
}

export const defaultMeshPorts: MeshPorts = { outbound: 15001, plaintext: 15006, hbone: 15008 }

/** Connections that each listener of a pod takes at a time; more are reset. */
export const mostConnections = 16_384
