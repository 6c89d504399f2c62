/**
 * A structural OpenAPI v3 schema as CRDs carry it; only what Gateway API and our own core schemas use.
 * Source: apiextensions/v1 JSONSchemaProps.
 */
export interface Schema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean'
  readonly properties?: Readonly<Record<string, Schema>>
  /** Schema of the values of a free map. */
  readonly additionalProperties?: Schema
  readonly items?: Schema
  readonly required?: readonly string[]
  readonly enum?: readonly unknown[]
  /** RE2, unanchored. */
  readonly pattern?: string
  readonly format?: string
  readonly default?: unknown
  readonly nullable?: boolean
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly minProperties?: number
  readonly maxProperties?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly oneOf?: readonly Schema[]
  readonly anyOf?: readonly Schema[]
  readonly allOf?: readonly Schema[]
  readonly not?: Schema
  readonly 'x-kubernetes-int-or-string'?: boolean
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean
  readonly 'x-kubernetes-embedded-resource'?: boolean
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map'
  readonly 'x-kubernetes-list-map-keys'?: readonly string[]
  readonly 'x-kubernetes-map-type'?: 'atomic' | 'granular'
  readonly 'x-kubernetes-validations'?: readonly CelRule[]
}

/** A rule in the Common Expression Language. Source: apiextensions/v1 ValidationRule. */
export interface CelRule {
  readonly rule: string
  readonly message?: string
  readonly messageExpression?: string
}

/** Release channels of Gateway API: what a cluster knows of it depends on the one that is installed. */
export type Channel = 'standard' | 'experimental'

/** The schemas of some kinds, for each version that is served: `schemas.HTTPRoute.v1`. */
export type KindSchemas = Readonly<Record<string, Readonly<Record<string, Schema>>>>
