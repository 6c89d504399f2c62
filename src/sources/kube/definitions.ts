import { gatewayApiVersion, gatewayPlurals, ownPlurals, ownSchemas } from '../../../crds/load.ts'
import { kinds, policyGroup, type ResourceKind } from '../../api/resources.ts'
import type { Channel, Schema } from '../../api/schema.ts'
import { failure, ok, warning, type Verdict } from '../../kit/verdict.ts'
import type { KubeClient } from '../../kube/client.ts'
import type { KubeObject } from '../../kube/object.ts'
import { installOwnCrds } from './problems.ts'
import { optionalKinds } from './source.ts'

/** A CustomResourceDefinition that the mesh reads, as the cluster has it. */
export interface DefinitionFacts {
  readonly kind: ResourceKind
  /** Undefined: the cluster does not have it. */
  readonly present:
    | { readonly bundleVersion: string | undefined; readonly channel: string | undefined; readonly versions: readonly { readonly name: string; readonly served: boolean; readonly schema: Schema | undefined }[] }
    | undefined
}

/** A field that the mesh reads and that not every release and channel has. */
export interface UsedField {
  readonly kind: 'HTTPRoute' | 'GRPCRoute' | 'Gateway'
  /** `spec.rules[].retry` */
  readonly path: string
  readonly what: string
}

/** What the mesh reads of Gateway API beyond what every release of the last years has. */
export const usedFields: readonly UsedField[] = [
  { kind: 'HTTPRoute', path: 'spec.rules[].retry', what: 'retries' },
  { kind: 'HTTPRoute', path: 'spec.rules[].sessionPersistence', what: 'session persistence' },
  { kind: 'HTTPRoute', path: 'spec.rules[].timeouts', what: 'timeouts' },
  { kind: 'HTTPRoute', path: 'spec.rules[].filters[].cors', what: 'CORS' },
  { kind: 'HTTPRoute', path: 'spec.rules[].filters[].requestMirror.percent', what: 'mirroring of a share' },
  { kind: 'HTTPRoute', path: 'spec.rules[].filters[].requestMirror.fraction', what: 'mirroring of a share' },
  { kind: 'GRPCRoute', path: 'spec.rules[].sessionPersistence', what: 'session persistence of gRPC' },
  { kind: 'Gateway', path: 'spec.infrastructure.parametersRef', what: 'parameters of waypoints' },
]

const group = 'gateway.networking.k8s.io'
const required: readonly ResourceKind[] = ['GatewayClass', 'Gateway', 'HTTPRoute', 'ReferenceGrant']

/** Definitions of Gateway API's kinds, and of our own. */
export const definitionNames: Readonly<Record<'gateway' | 'own', readonly string[]>> = {
  gateway: gatewayPlurals.map((plural) => `${plural}.${group}`),
  own: ownPlurals.map((plural) => `${plural}.${policyGroup}`),
}

/** One after the other, for each is large. @throws {KubeError} if the definitions may not be read */
export async function readDefinitions(client: KubeClient, of: 'gateway' | 'own'): Promise<readonly DefinitionFacts[]> {
  const facts: DefinitionFacts[] = []
  for (const name of definitionNames[of]) {
    const kind = (Object.keys(kinds) as ResourceKind[]).find((each) => `${kinds[each].plural}.${kinds[each].group}` === name)
    if (kind === undefined) throw new Error(`no kind is defined by ${name}`)
    const definition = await client.read({ apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', name })
    facts.push({ kind, present: definition === undefined ? undefined : factsOf(definition) })
  }
  return facts
}

function factsOf({ metadata, spec }: KubeObject): DefinitionFacts['present'] {
  const { versions = [] } = (spec ?? {}) as { readonly versions?: readonly { readonly name: string; readonly served?: boolean; readonly schema?: { readonly openAPIV3Schema?: Schema } }[] }
  return {
    bundleVersion: metadata.annotations?.[`${group}/bundle-version`],
    channel: metadata.annotations?.[`${group}/channel`],
    versions: versions.map(({ name, served, schema }) => ({ name, served: served === true, schema: schema?.openAPIV3Schema })),
  }
}

/** Judges the CRDs of Gateway API that a cluster has. */
export function judgeDefinitions(definitions: readonly DefinitionFacts[]): readonly Verdict[] {
  const present = definitions.filter((each) => each.present !== undefined)
  if (present.length === 0) return [failure('the CRDs of Gateway API are not there', installAdvice('standard'))]
  const missing = definitions.filter((each) => readVersion(each) === undefined)
  const channel = channelOf(present)
  return [
    ...judgeMissing(missing.map(({ kind }) => kind), definitions, channel),
    ...judgeRelease(definitions),
  ]
}

/** Judges release and channel of those CRDs of Gateway API that are there. */
export function judgeRelease(definitions: readonly DefinitionFacts[]): readonly Verdict[] {
  const present = definitions.filter((each) => each.present !== undefined)
  return present.length === 0 ? [] : [judgeBundle(present, channelOf(present)), judgeChannel(present)]
}

/** Judges those CRDs of our own kinds that are there: Helm, for one, does not update them. */
export function judgeOwn(definitions: readonly DefinitionFacts[]): readonly Verdict[] {
  const present = definitions.filter((each) => each.present !== undefined)
  const dropped = present.flatMap((each) => {
    const [wanted, found] = [ownSchemas()[each.kind]?.[kinds[each.kind].versions[0]], readVersion(each)?.schema]
    return wanted === undefined || found === undefined ? [] : missingFields(wanted, found).map((path) => `${each.kind} ${path}`)
  })
  if (present.length === 0) return []
  if (dropped.length === 0) return [ok('the mesh\'s own CRDs have every field that this waymark reads')]
  return [warning('the mesh\'s own CRDs are older than this waymark: the API server takes policies and leaves fields out', `update them: ${installOwnCrds}`, dropped)]
}

/** Of two channels the one with more fields: going back would drop some. */
function channelOf(present: readonly DefinitionFacts[]): Channel {
  return present.some((each) => each.present?.channel === 'experimental') ? 'experimental' : 'standard'
}

function installAdvice(channel: Channel): string {
  const url = `https://github.com/kubernetes-sigs/gateway-api/releases/download/${gatewayApiVersion}/${channel}-install.yaml`
  return `install them with the mesh (waymark install --crds ${channel} --apply) or by themselves: kubectl apply --server-side -f ${url}`
}

/** The schema of the version that the mesh reads; undefined: the kind is not served in any that it reads. */
function readVersion({ kind, present }: DefinitionFacts): { readonly name: string; readonly schema: Schema | undefined } | undefined {
  const served = present?.versions.filter((each) => each.served) ?? []
  return kinds[kind].versions.map((name) => served.find((each) => each.name === name)).find((each) => each !== undefined)
}

function judgeMissing(missing: readonly ResourceKind[], all: readonly DefinitionFacts[], channel: Channel): readonly Verdict[] {
  const detail = (kind: ResourceKind): string => {
    const versions = all.find((each) => each.kind === kind)?.present?.versions.filter(({ served }) => served).map(({ name }) => name)
    return `${kinds[kind].plural}.${group}: ${versions === undefined ? 'not there' : `served as ${versions.join(', ') || 'nothing'}, read as ${kinds[kind].versions.join(', ')}`}`
  }
  const needed = missing.filter((kind) => required.includes(kind))
  const optional = missing.filter((kind) => optionalKinds.has(kind))
  if (missing.length === 0) return [ok('the CRDs of Gateway API are there, in versions that the mesh reads')]
  return [
    ...(needed.length === 0 ? [] : [failure('CRDs of Gateway API are missing without which nothing works', installAdvice(channel), needed.map(detail))]),
    ...(optional.length === 0 ? [] : [warning(`${optional.join(', ')}: the cluster does not serve such routes`, `nothing to do if you need none; else ${installAdvice(channel)}`, optional.map(detail))]),
  ]
}

/** Release that the CRDs are of. */
function judgeBundle(present: readonly DefinitionFacts[], channel: Channel): Verdict {
  const versions = [...new Set(present.map((each) => each.present?.bundleVersion ?? 'an unknown release'))].sort()
  const detail = (): readonly string[] => present.map((each) => `${kinds[each.kind].plural}.${group}: ${each.present?.bundleVersion ?? 'an unknown release'}`)
  if (versions.length > 1) return warning('the CRDs of Gateway API are of several releases', `bring all of them to ${gatewayApiVersion}: ${installAdvice(channel)}`, detail())
  const [version = ''] = versions
  const order = compareMinor(version, gatewayApiVersion)
  if (order === undefined) return warning(`the release of Gateway API's CRDs can not be told (${version})`, `this waymark is made for ${gatewayApiVersion}: ${installAdvice(channel)}`)
  if (order < 0) return warning(`Gateway API ${version} is older than ${gatewayApiVersion}, for which this waymark is made`, `update the CRDs: ${installAdvice(channel)}`)
  if (order > 0) return warning(`Gateway API ${version} is newer than ${gatewayApiVersion}, for which this waymark is made: fields that are new in it have no effect`, 'nothing to do if you use none of them; else update the mesh')
  return ok(`Gateway API ${version} is the release for which this waymark is made`)
}

/** Compares by major and minor version; undefined: one of them is no version. */
function compareMinor(a: string, b: string): number | undefined {
  const [left, right] = [/^v(\d+)\.(\d+)/.exec(a), /^v(\d+)\.(\d+)/.exec(b)]
  if (left === null || right === null) return undefined
  return Number(left[1]) - Number(right[1]) || Number(left[2]) - Number(right[2])
}

/** What the channel, or an old release, does not have of what the mesh reads. */
function judgeChannel(present: readonly DefinitionFacts[]): Verdict {
  const channels = [...new Set(present.map((each) => each.present?.channel ?? 'unknown'))].sort()
  const dropped = usedFields.filter(({ kind, path }) => {
    const found = present.find((each) => each.kind === kind)
    const schema = found === undefined ? undefined : readVersion(found)?.schema
    return schema !== undefined && !hasField(schema, path)
  })
  const details = dropped.map(({ kind, path, what }) => `${kind} ${path} (${what})`)
  const channel = channels.join(' and ')
  if (channels.length > 1) return warning(`the CRDs are of several channels of Gateway API: ${channel}`, `bring all of them to one: ${installAdvice('experimental')}`, details)
  if (dropped.length === 0) return channel === 'unknown' ? warning('the channel of Gateway API\'s CRDs can not be told', 'nothing to do: they have every field that the mesh reads') : ok(`the ${channel} channel has every field that the mesh reads`)
  return warning(`the ${channel} channel of Gateway API drops fields that the mesh would read: the API server takes such routes and leaves the fields out`,
    `nothing to do if you use none of them; else ${installAdvice('experimental')}`, details)
}

/** Whether a schema has `spec.rules[].retry`. */
export function hasField(schema: Schema, path: string): boolean {
  let at = schema
  for (const part of path.split('.')) {
    const child = at.properties?.[part.replace(/\[\]$/, '')]
    const next = part.endsWith('[]') ? child?.items : child
    if (next === undefined) return false
    at = next
    if (at['x-kubernetes-preserve-unknown-fields'] === true) return true
  }
  return true
}

/** Fields that a schema has and another one lacks, `spec.rules[].to`; of what is lacking as a whole nothing below. */
export function missingFields(wanted: Schema, found: Schema, at = ''): readonly string[] {
  if (found['x-kubernetes-preserve-unknown-fields'] === true) return []
  const items = wanted.items === undefined || found.items === undefined ? [] : missingFields(wanted.items, found.items, `${at}[]`)
  const fields = Object.entries(wanted.properties ?? {}).flatMap(([name, schema]) => {
    const [path, there] = [at === '' ? name : `${at}.${name}`, found.properties?.[name]]
    return there === undefined ? [path] : missingFields(schema, there, path)
  })
  return [...items, ...fields]
}
