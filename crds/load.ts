import { readFileSync } from 'node:fs'
import type { Channel, KindSchemas } from '../src/api/schema.ts'
import { expandSchemas, type CompactSchemas } from './compact.ts'

/** Gateway API kinds that the mesh reads, by the name their CRD files bear. */
export const gatewayPlurals = [
  'gatewayclasses',
  'gateways',
  'grpcroutes',
  'httproutes',
  'referencegrants',
  'tcproutes',
  'tlsroutes',
] as const

/** Release of Gateway API whose schemas these are. */
export const gatewayApiVersion = 'v1.6.1'

let compact: CompactSchemas | undefined
const loaded = new Map<Channel, KindSchemas>()

/**
 * The schemas of a channel of Gateway API by kind and served version. Read once, from the compact form: reading the CRDs'
 * own YAML would cost every start of the command half a second.
 * @throws if the installation lacks the file
 */
export function gatewaySchemas(channel: Channel): KindSchemas {
  const known = loaded.get(channel)
  if (known !== undefined) return known
  compact ??= JSON.parse(readFileSync(new URL('./gateway-api/schemas.json', import.meta.url), 'utf8')) as CompactSchemas
  const schemas = expandSchemas(compact, channel)
  loaded.set(channel, schemas)
  return schemas
}
