import { apiVersionOf, isResourceKind, kinds } from '../api/resources.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type { ObjectStatus } from '../model/status.ts'
import type { Translation } from '../translate/options.ts'
import { translate as translateObjects } from '../translate/translate.ts'
import { exitCodes, type Io } from './io.ts'
import { withCluster, type ClusterAccess } from './cluster.ts'
import { defaultTrustDomain, readWholeLive, sayUnread, translateLive, type SourceOptions } from './live.ts'
import { readFolder, sayIncomplete } from './load.ts'
import { toJson } from './json.ts'
import { toYaml, toYamlDocuments } from './yaml.ts'

export interface TranslateVerbOptions extends SourceOptions {
  readonly statuses?: boolean | undefined
  readonly output: 'yaml' | 'json'
}

/** `waymark translate`: what a folder, or the cluster as it is now, means to the data plane, or what its objects' statuses would say. */
export async function translate(options: TranslateVerbOptions, io: Io, access: ClusterAccess = {}): Promise<number> {
  const { file, output } = options
  const print = ({ snapshot, statuses }: Translation): void => io.out(options.statuses === true ? renderStatuses(statuses, output) : renderSnapshot(snapshot, output))
  if (file === undefined) {
    return withCluster(options, access, io, 'translate', async (client) => {
      const live = await readWholeLive(client, options.trustDomain)
      print(translateLive(live))
      sayUnread(live, io)
      return exitCodes.fine
    })
  }
  const loaded = await readFolder(file)
  print(translateObjects(loaded.resources, { trustDomain: options.trustDomain ?? defaultTrustDomain }))
  sayIncomplete(loaded, file, io)
  return exitCodes.fine
}

function renderSnapshot(snapshot: Snapshot, format: 'yaml' | 'json'): string {
  const sorted = Object.fromEntries([...snapshot].sort(([a], [b]) => (a < b ? -1 : 1)))
  return format === 'json' ? toJson(sorted) : toYaml(sorted)
}

function renderStatuses(statuses: readonly ObjectStatus[], format: 'yaml' | 'json'): string {
  const objects = statuses.map(toObject)
  return format === 'json' ? toJson({ apiVersion: 'v1', kind: 'List', items: objects }) : toYamlDocuments(objects)
}

/** The part of an object that a cluster would show. Without times: a folder has no history, and equal input gives equal output. */
function toObject(status: ObjectStatus): Record<string, unknown> {
  const { ref } = status
  const version = isResourceKind(ref.kind) ? kinds[ref.kind].versions[0] : 'v1'
  return {
    apiVersion: apiVersionOf(ref.group, version),
    kind: ref.kind,
    metadata: { ...(ref.namespace === '' ? {} : { namespace: ref.namespace }), name: ref.name },
    status: fieldsOf(status),
  }
}

function fieldsOf(status: ObjectStatus): Record<string, unknown> {
  switch (status.kind) {
    case 'route':
      return { parents: status.parents }
    case 'policy':
      return { ancestors: status.ancestors }
    case 'gateway':
      return { addresses: status.addresses, conditions: status.conditions, listeners: status.listeners }
    case 'gatewayclass':
      return { conditions: status.conditions, supportedFeatures: status.supportedFeatures }
  }
}
