import { readFileSync } from 'node:fs'
import { gatewayApiVersion } from '../../crds/load.ts'
import { exitCodes, type Io } from './io.ts'
import { toJson } from './json.ts'

/** What `waymark version` says. */
export interface Versions {
  readonly version: string
  /** Of the runtime, without its `v`. */
  readonly node: string
  readonly gatewayApi: string
}

/** The versions of this installation. */
export function versions(): Versions {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { readonly version: string }
  return { version, node: process.versions.node, gatewayApi: gatewayApiVersion.replace(/^v/, '') }
}

/** `waymark version` */
export async function version({ output }: { readonly output: 'table' | 'json' | 'yaml' }, io: Io): Promise<number> {
  const all = versions()
  if (output === 'table') io.out(`waymark ${all.version} (Node ${all.node}, Gateway API ${all.gatewayApi})\n`)
  else io.out(output === 'json' ? toJson(all) : (await import('./yaml.ts')).toYaml(all))
  return exitCodes.fine
}
