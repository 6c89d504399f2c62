import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { parse } from 'yaml'
import { compactSchemas, type CustomResourceDefinition } from '../crds/compact.ts'
import { gatewayPlurals } from '../crds/load.ts'
import type { Channel } from '../src/api/schema.ts'

/** The pin: which module, and the SHA-256 of each file taken from it. */
interface Checksums {
  readonly module: string
  readonly version: string
  /** The module's sum as `go.sum` writes it. */
  readonly sum: string
  readonly files: Readonly<Record<string, string>>
}

const root = new URL('../crds/', import.meta.url)
const pinFile = new URL('checksums.json', root)
const pin = JSON.parse(readFileSync(pinFile, 'utf8')) as Checksums

/** Where the pinned module lies after Go checked it; refuses another content than the pinned one. */
function moduleFolder(): string {
  const answer = JSON.parse(execFileSync('go', ['mod', 'download', '-json', `${pin.module}@${pin.version}`], { encoding: 'utf8' })) as {
    readonly Dir: string
    readonly Sum: string
  }
  if (answer.Sum === pin.sum) return answer.Dir
  const found = `${pin.module}@${pin.version} has the sum ${answer.Sum}, pinned is ${pin.sum}`
  throw new Error(`${found}: if that is meant, put the new sum into crds/checksums.json`)
}

function fetchChannel(folder: string, channel: Channel): { readonly crds: CustomResourceDefinition[]; readonly files: [string, string][] } {
  mkdirSync(new URL(`gateway-api/${channel}/`, root), { recursive: true })
  const crds: CustomResourceDefinition[] = []
  const files: [string, string][] = []
  for (const plural of gatewayPlurals) {
    const text = readFileSync(`${folder}/config/crd/${channel}/gateway.networking.k8s.io_${plural}.yaml`, 'utf8')
    const path = `gateway-api/${channel}/${plural}.yaml`
    writeFileSync(new URL(path, root), text)
    crds.push(parse(text) as CustomResourceDefinition)
    files.push([path, createHash('sha256').update(text).digest('hex')])
  }
  return { crds, files }
}

const folder = moduleFolder()
const standard = fetchChannel(folder, 'standard')
const experimental = fetchChannel(folder, 'experimental')
const schemas = compactSchemas({ standard: standard.crds, experimental: experimental.crds })
writeFileSync(new URL('schemas/gateway-api.json', root), `${JSON.stringify(schemas)}\n`)
const files = Object.fromEntries([...experimental.files, ...standard.files])
writeFileSync(pinFile, `${JSON.stringify({ ...pin, files }, undefined, 2)}\n`)
console.log(`wrote ${Object.keys(files).length} CRDs of ${pin.module}@${pin.version} and their compact schemas`)
