import { kinds, type ResourceKind, type ResourceSet } from '../api/resources.ts'
import { parseInfo } from '../control/ca/info.ts'
import { caNames } from '../control/ca/names.ts'
import type { KubeClient } from '../kube/client.ts'
import type { KubeChoice } from '../kube/config.ts'
import { isStatus } from '../kube/errors.ts'
import { isMarkedCaptured, install } from '../model/install.ts'
import { readCluster, type KindProblem } from '../sources/kube/read-once.ts'
import type { Translation } from '../translate/options.ts'
import { translate } from '../translate/translate.ts'
import type { Io } from './io.ts'
import { knowsAgents } from './mesh/agents.ts'

/** The options of verbs that read a folder, or else a cluster. */
export interface SourceOptions extends KubeChoice {
  /** A folder; undefined: the cluster. */
  readonly file?: string | undefined
  /** Undefined: `cluster.local`, in a cluster the mesh's own. */
  readonly trustDomain?: string | undefined
}

/** What a folder is translated with if nobody says otherwise. */
export const defaultTrustDomain = 'cluster.local'

/** A cluster as the controllers see it. */
export interface LiveCluster {
  readonly resources: ResourceSet
  readonly problems: readonly KindProblem[]
  readonly trustDomain: string
  /** Namespace of the installation. */
  readonly rootNamespace: string
  /** Whether the controllers reckon with agents on the nodes. */
  readonly nodeAgent: false | 'reported'
}

/**
 * Reads everything of a cluster that the mesh reads, once.
 * @param trustDomain undefined: as the mesh's own account of its CA says
 * @throws {KubeError}
 */
export async function readLive(client: KubeClient, trustDomain?: string): Promise<LiveCluster> {
  const { resources, problems } = await readCluster(client)
  const own = accountOf(resources)
  const rootNamespace = own?.namespace ?? install.namespace
  return {
    resources, problems, rootNamespace, trustDomain: trustDomain ?? own?.trustDomain ?? defaultTrustDomain,
    nodeAgent: (await reckonsWithAgents(client, rootNamespace, resources)) && 'reported',
  }
}

/** As the controllers are told; where that may not be read, as pods show it. */
async function reckonsWithAgents(client: KubeClient, namespace: string, { Pod }: ResourceSet): Promise<boolean> {
  try {
    const deployment = await client.read({ apiVersion: 'apps/v1', kind: 'Deployment', namespace, name: install.controller })
    if (deployment !== undefined) return knowsAgents(deployment)
  } catch (error) {
    if (!isStatus(error, 403)) throw error
  }
  return [...Pod.values()].some(isMarkedCaptured)
}

/**
 * As `readLive`, for verbs whose answer would be wrong without everything.
 * @throws {Error} if a kind may not be listed that no mesh is without
 */
export async function readWholeLive(client: KubeClient, trustDomain?: string): Promise<LiveCluster> {
  const live = await readLive(client, trustDomain)
  const forbidden = forbiddenKinds(live)
  if (forbidden.length === 0) return live
  throw new Error(`you may not list ${forbidden.join(', ')} in all namespaces, and without them the answer would be wrong; ask for that right, or use a context whose user has it`)
}

/** What may not be listed of the kinds that no mesh is without: hardly anything can be told then. */
export function forbiddenKinds({ problems }: Pick<LiveCluster, 'problems'>): readonly string[] {
  return problems.filter(({ reason, optional }) => reason === 'forbidden' && !optional).map(({ kind }) => describeKind(kind))
}

function describeKind(kind: ResourceKind): string {
  const { group, plural } = kinds[kind]
  return group === '' ? plural : `${plural}.${group}`
}

/** What the controllers make of the cluster; waypoints are dialled where their pods are. */
export function translateLive({ resources, trustDomain, rootNamespace, nodeAgent }: LiveCluster): Translation {
  return translate(resources, { trustDomain, rootNamespace, nodeAgent })
}

/** Says on the side what could not be read. Kinds that a cluster may lack have no objects there, so nothing is missing without them. */
export function sayUnread({ problems }: Pick<LiveCluster, 'problems'>, io: Io): void {
  for (const { line, reason, optional } of problems) if (reason !== 'missing' || !optional) io.say(`not read: ${line}`)
}

/** What the controllers say of the mesh where they are. */
function accountOf({ ConfigMap }: ResourceSet): { readonly namespace: string; readonly trustDomain: string } | undefined {
  for (const { metadata: { namespace = '' }, data } of ConfigMap.values()) {
    const info = parseInfo(data?.[caNames.infoKey])
    if (info !== undefined) return { namespace, trustDomain: info.trustDomain }
  }
  return undefined
}
