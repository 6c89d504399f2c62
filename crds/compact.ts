import type { Channel, KindSchemas, Schema } from '../src/api/schema.ts'

/** What a file of `schemas/` holds: the schemas of both channels without prose, each different one once. */
export interface CompactSchemas {
  readonly schemas: readonly Schema[]
  /** Position in `schemas` by channel, kind and served version. */
  readonly index: { readonly [C in Channel]: Readonly<Record<string, Readonly<Record<string, number>>>> }
}

/** The part of a CustomResourceDefinition that is read here. */
export interface CustomResourceDefinition {
  readonly spec: {
    readonly names: { readonly kind: string }
    readonly versions: readonly { readonly name: string; readonly served: boolean; readonly schema: { readonly openAPIV3Schema: Schema } }[]
  }
}

/** Keywords whose value is a schema, a list of schemas or a map of schemas. */
const nested: Readonly<Record<string, 'schema' | 'list' | 'map'>> = {
  properties: 'map',
  additionalProperties: 'schema',
  items: 'schema',
  not: 'schema',
  oneOf: 'list',
  anyOf: 'list',
  allOf: 'list',
}

/**
 * Cuts the schemas of CRDs down to what decides: descriptions go, and so does the schema of `status`, which is kept as it
 * comes, because manifests that were dumped from a cluster carry the status that some other controller wrote.
 */
export function compactSchemas(crds: { readonly [C in Channel]: readonly CustomResourceDefinition[] }): CompactSchemas {
  const schemas: Schema[] = []
  const known = new Map<string, number>()
  const place = (schema: Schema): number => {
    const stripped = withoutStatus(strip(schema) as Schema)
    const text = JSON.stringify(stripped)
    const at = known.get(text) ?? schemas.push(stripped) - 1
    known.set(text, at)
    return at
  }
  const indexOf = (channel: Channel): Record<string, Record<string, number>> =>
    Object.fromEntries(
      crds[channel].map((crd) => [
        crd.spec.names.kind,
        Object.fromEntries(crd.spec.versions.filter((each) => each.served).map((each) => [each.name, place(each.schema.openAPIV3Schema)])),
      ]),
    )
  const index = { standard: indexOf('standard'), experimental: indexOf('experimental') }
  return { schemas, index }
}

/** The schemas of one channel by kind and version. */
export function expandSchemas(compact: CompactSchemas, channel: Channel): KindSchemas {
  return Object.fromEntries(
    Object.entries(compact.index[channel]).map(([kind, versions]) => [
      kind,
      Object.fromEntries(Object.entries(versions).map(([version, at]) => [version, compact.schemas[at] ?? {}])),
    ]),
  )
}

function strip(schema: unknown): unknown {
  if (typeof schema !== 'object' || schema === null) return schema
  const kept = Object.entries(schema).filter(([key]) => key !== 'description')
  return Object.fromEntries(kept.map(([key, value]: [string, unknown]) => [key, stripNested(nested[key], value)]))
}

function stripNested(how: (typeof nested)[string] | undefined, value: unknown): unknown {
  if (how === undefined) return value
  if (how === 'schema') return strip(value)
  if (how === 'list') return (value as readonly unknown[]).map(strip)
  return Object.fromEntries(Object.entries(value as object).map(([name, each]) => [name, strip(each)]))
}

function withoutStatus(schema: Schema): Schema {
  if (schema.properties?.['status'] === undefined) return schema
  return { ...schema, properties: { ...schema.properties, status: { 'x-kubernetes-preserve-unknown-fields': true } } }
}
