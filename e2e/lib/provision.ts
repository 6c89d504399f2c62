import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { collect } from './collect.ts'
import { createCluster, deleteCluster, hasCluster, loadImages, root, useCluster } from './cluster.ts'
import { buildImages, imagesOf } from './images.ts'
import { installationOf, installCrds, installMesh, restartMesh, type Installation } from './install.ts'
import { connectKube, type Kube } from './kube.ts'
import { together } from './wait.ts'

export interface ProvisionOptions {
  readonly cluster: string
  readonly nodeImage: string | undefined
  readonly kubeProxy: 'iptables' | 'nftables' | undefined
  readonly agentWorkers: number
  readonly imageBase: string
  /** Takes a cluster of that name if it is there; else it is made anew. */
  readonly keep: boolean
  /** Neither builds nor installs. */
  readonly reuse: boolean
  /** How long certificates live; undefined: as the chart has it. */
  readonly svidLifetimeSeconds?: number | undefined
  readonly signal: AbortSignal
  readonly say: (line: string) => void
}

/** A cluster with the mesh installed. */
export interface Provision {
  readonly kube: Kube
  readonly installation: Installation
}

/** Where the suite keeps what belongs to a cluster: its credentials, logs of failures. */
export function folderOf(cluster: string): string {
  return join(root, '.waymark/e2e', cluster)
}

const kubeconfigOf = (cluster: string): string => join(folderOf(cluster), 'kubeconfig')

/** From nothing to an installed mesh; each step is told with its duration. What was made stays if a step fails: see `dismantle`. */
export async function provision(options: ProvisionOptions): Promise<Provision> {
  const { cluster, nodeImage, kubeProxy, agentWorkers, imageBase, keep, reuse, svidLifetimeSeconds, signal, say } = options
  const step = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    const start = performance.now()
    const result = await work()
    say(`${what} (${((performance.now() - start) / 1000).toFixed(1)} s)`)
    return result
  }
  const kubeconfig = kubeconfigOf(cluster)
  const where = { name: cluster, nodeImage, kubeProxy, kubeconfig, signal }
  const images = imagesOf(cluster)
  const what = { cluster, images, agentWorkers }
  const there = await hasCluster(cluster, signal)
  const bringUp = async (): Promise<void> => {
    if (there && keep) {
      await useCluster(where)
      return
    }
    if (there) await step(`deleted an old cluster ${cluster}`, () => deleteCluster(cluster, kubeconfig))
    await step(`created cluster ${cluster}`, () => createCluster(where))
  }
  const asIs = reuse && there
  // Images do not need the cluster before they are loaded.
  await together([bringUp(), ...(asIs ? [] : [step('built images', () => buildImages(images, imageBase, signal))])])
  const kube = await connectKube(kubeconfig, signal)
  try {
    if (asIs) return { kube, installation: installationOf(what, 0) }
    await together([
      step('loaded images', () => loadImages(cluster, [images.waymark, images.app], signal)),
      step('installed Gateway API', () => installCrds(kube)),
    ])
    const before = await kube.find('Namespace', undefined, 'waymark-system')
    const installation = await step('installed the mesh', () => installMesh(kube, what, { svidLifetimeSeconds, signal }))
    if (before !== undefined) await step('restarted the controllers with the new image', () => restartMesh(kube))
    return { kube, installation }
  } catch (error) {
    if (!signal.aborted) {
      const folder = join(folderOf(cluster), 'logs/installation')
      await collect(kube, ['waymark-system', 'kube-system'], folder)
      say(`logs: ${folder}`)
    }
    kube.close()
    throw error
  }
}

/** Deletes the cluster of a run. */
export async function dismantle(cluster: string): Promise<void> {
  const kubeconfig = kubeconfigOf(cluster)
  await deleteCluster(cluster, existsSync(kubeconfig) ? kubeconfig : undefined)
}
