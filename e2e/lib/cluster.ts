import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { run } from './command.ts'

export const root = join(import.meta.dirname, '../..')

export interface ClusterOptions {
  readonly name: string
  /** Undefined: kind's own. */
  readonly nodeImage: string | undefined
  /** Undefined: kind's own. */
  readonly kubeProxy?: 'iptables' | 'nftables' | undefined
  /** Where its credentials go; undefined: where kubectl looks by default, and they become the current ones. */
  readonly kubeconfig: string | undefined
  readonly signal: AbortSignal
}

/** The programs that the suite needs; the first that is missing is named. */
export async function needTools(signal: AbortSignal): Promise<void> {
  await run('kind', ['version'], { signal, timeoutMs: 20_000 })
  await run('kubectl', ['version', '--client'], { signal, timeoutMs: 20_000 })
  await run('helm', ['version', '--short'], { signal, timeoutMs: 20_000 })
  // The last one, for it also says whether a daemon answers.
  await run('docker', ['version', '--format', '{{.Server.Version}}'], { signal, timeoutMs: 20_000 })
}

export async function hasCluster(name: string, signal: AbortSignal): Promise<boolean> {
  const { stdout } = await run('kind', ['get', 'clusters'], { signal })
  return stdout.split('\n').includes(name)
}

/** Makes the cluster of kind-config.yaml and waits until its nodes are ready. */
export async function createCluster({ name, nodeImage, kubeProxy, kubeconfig, signal }: ClusterOptions): Promise<void> {
  const image = nodeImage === undefined ? [] : ['--image', nodeImage]
  const config = configOf(name, kubeProxy)
  await run('kind', ['create', 'cluster', '--name', name, '--config', config, '--wait', '180s', ...image, ...at(kubeconfig)], { signal, timeoutMs: 600_000 })
}

/** kind-config.yaml, or where it is written with another mode of kube-proxy. */
function configOf(name: string, kubeProxy: ClusterOptions['kubeProxy']): string {
  const usual = join(root, 'kind-config.yaml')
  if (kubeProxy === undefined) return usual
  const file = join(root, '.waymark/e2e', name, 'kind-config.yaml')
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${readFileSync(usual, 'utf8')}networking:\n  kubeProxyMode: ${kubeProxy}\n`)
  return file
}

/** Writes the credentials of a cluster that is there. */
export async function useCluster({ name, kubeconfig, signal }: ClusterOptions): Promise<void> {
  await run('kind', ['export', 'kubeconfig', '--name', name, ...at(kubeconfig)], { signal })
}

/** Without a signal: it is also called when the run was stopped. */
export async function deleteCluster(name: string, kubeconfig: string | undefined): Promise<void> {
  await run('kind', ['delete', 'cluster', '--name', name, ...at(kubeconfig)], { timeoutMs: 180_000 })
}

export async function loadImages(name: string, images: readonly string[], signal: AbortSignal): Promise<void> {
  await run('kind', ['load', 'docker-image', '--name', name, ...images], { signal, timeoutMs: 300_000 })
}

function at(kubeconfig: string | undefined): readonly string[] {
  if (kubeconfig === undefined) return []
  mkdirSync(dirname(kubeconfig), { recursive: true })
  return ['--kubeconfig', kubeconfig]
}
