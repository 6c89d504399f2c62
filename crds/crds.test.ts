import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { compactSchemas, type CustomResourceDefinition } from './compact.ts'
import { gatewayApiVersion, gatewayPlurals, gatewaySchemas } from './load.ts'
import { kinds } from '../src/api/resources.ts'
import type { Channel } from '../src/api/schema.ts'

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')
const pin = JSON.parse(read('checksums.json')) as { module: string; version: string; sum: string; files: Record<string, string> }
const channels = ['standard', 'experimental'] as const

describe('the Gateway API CRDs', () => {
  it('are byte for byte those of the pinned module, and no file is unpinned', () => {
    const present = channels.flatMap((channel) => readdirSync(new URL(`gateway-api/${channel}`, import.meta.url)).map((file) => `gateway-api/${channel}/${file}`))
    assert.deepEqual(present.sort(), Object.keys(pin.files).sort())
    for (const [path, sum] of Object.entries(pin.files)) assert.equal(createHash('sha256').update(read(path)).digest('hex'), sum, path)
    assert.equal(pin.version, gatewayApiVersion)
    assert.match(pin.sum, /^h1:[A-Za-z0-9+/]{43}=$/)
  })

  it('carry the release and channel that their folder says', () => {
    for (const path of Object.keys(pin.files)) {
      const annotations = (parse(read(path)) as { metadata: { annotations: Record<string, string> } }).metadata.annotations
      assert.equal(annotations['gateway.networking.k8s.io/bundle-version'], pin.version, path)
      assert.equal(annotations['gateway.networking.k8s.io/channel'], path.split('/')[1], path)
    }
  })

  it('have compact schemas that are up to date: else run `npm run crds`', () => {
    const crdsOf = (channel: Channel): CustomResourceDefinition[] =>
      gatewayPlurals.map((plural) => parse(read(`gateway-api/${channel}/${plural}.yaml`)) as CustomResourceDefinition)
    const made = compactSchemas({ standard: crdsOf('standard'), experimental: crdsOf('experimental') })
    assert.equal(read('schemas/gateway-api.json'), `${JSON.stringify(made)}\n`)
  })

  it('stand in folders that `kubectl apply -f` takes whole: nothing else is in them', () => {
    for (const folder of ['waymark', ...channels.map((channel) => `gateway-api/${channel}`)]) {
      const files = readdirSync(new URL(folder, import.meta.url))
      assert.ok(files.length > 0)
      for (const file of files) {
        assert.match(file, /\.yaml$/, folder)
        assert.equal((parse(read(`${folder}/${file}`)) as { kind: string }).kind, 'CustomResourceDefinition', file)
      }
    }
  })

  it('serve exactly the versions that the mesh reads', () => {
    const experimental = gatewaySchemas('experimental')
    for (const [kind, { group, versions }] of Object.entries(kinds)) {
      if (group === 'gateway.networking.k8s.io') assert.deepEqual(Object.keys(experimental[kind] ?? {}).sort(), [...versions].sort(), kind)
    }
  })

  it('keep a property that is called description, and lose every description in prose', () => {
    const spec = gatewaySchemas('standard')['GatewayClass']?.['v1']?.properties?.['spec']
    assert.equal(spec?.properties?.['description']?.type, 'string')
    assert.doesNotMatch(read('schemas/gateway-api.json'), /"description":"/)
  })
})
