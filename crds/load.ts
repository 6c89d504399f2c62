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

/** Kinds of our own, by the name their CRD files bear. */
export const ownPlurals = ['authorizationpolicies', 'mtlspolicies'] as const

/** Release of Gateway API whose schemas these are. */
export const gatewayApiVersion = 'v1.6.1'

const read = new Map<string, CompactSchemas>()
const loaded = new Map<Channel, KindSchemas>()

/**
 * The schemas of a channel of Gateway API, and of our own kinds, by kind and served version. Read once, from the compact form: reading
 * the CRDs' own YAML would cost every start of the command half a second.
 * @throws if the installation lacks the files
 */
export function gatewaySchemas(channel: Channel): KindSchemas {
  const known = loaded.get(channel)
  if (known !== undefined) return known
  const schemas = { ...expandSchemas(compactOf('gateway-api'), channel), ...expandSchemas(compactOf('waymark'), channel) }
  loaded.set(channel, schemas)
  return schemas
}

/** The schemas of our own kinds alone, which are the same in every channel. @throws if the installation lacks the files */
export function ownSchemas(): KindSchemas {
  return expandSchemas(compactOf('waymark'), 'standard')
}

function compactOf(folder: 'gateway-api' | 'waymark'): CompactSchemas {
  const known = read.get(folder)
  if (known !== undefined) return known
  const compact = JSON.parse(readFileSync(new URL(`./schemas/${folder}.json`, import.meta.url), 'utf8')) as CompactSchemas
  read.set(folder, compact)
  return compact
}
