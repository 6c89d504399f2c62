import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Kube } from './kube.ts'
import type { KubeObject } from './objects.ts'
import { inParallel } from './wait.ts'

interface PodStatus {
  readonly containerStatuses?: readonly { readonly name: string; readonly restartCount: number }[]
}

/** What tells about a failure in each namespace; the rest is found by `describe`. */
const told = 'pods,services,endpointslices,deployments,gateways,httproutes,grpcroutes,tcproutes,tlsroutes,configmaps,leases'

/**
 * Writes logs of all pods (of containers that were restarted also those before), descriptions, events and objects with their statuses
 * of some namespaces into a folder. Never fails: what can't be had is left out.
 */
export async function collect(kube: Kube, namespaces: readonly string[], folder: string): Promise<void> {
  // A run that was stopped is still worth its logs: its own signal is not used here, each command has its time limit.
  const ask = (file: string, args: readonly string[]): Promise<void> =>
    kube.kubectl(args, { timeoutMs: 30_000, signal: new AbortController().signal }).then((text) => writeFileSync(join(folder, file), text), (error: unknown) => {
      writeFileSync(join(folder, `${file}.failed`), String(error))
    })
  mkdirSync(folder, { recursive: true })
  const work: (() => Promise<void>)[] = [() => ask('nodes.txt', ['describe', 'nodes']), () => ask('gatewayclasses.yaml', ['get', 'gatewayclasses', '-o', 'yaml'])]
  for (const namespace of namespaces) {
    work.push(
      () => ask(`${namespace}.events.txt`, ['get', 'events', '-n', namespace, '--sort-by=.lastTimestamp']),
      () => ask(`${namespace}.pods.txt`, ['describe', 'pods', '-n', namespace]),
      () => ask(`${namespace}.objects.yaml`, ['get', told, '-n', namespace, '-o', 'yaml']),
    )
    const pods: readonly KubeObject[] = await kube.list('Pod', namespace).catch(() => [])
    for (const pod of pods) {
      for (const { name, restartCount } of (pod['status'] as PodStatus | undefined)?.containerStatuses ?? []) {
        const log = (suffix: string, more: readonly string[]) => () => ask(`${namespace}.${pod.metadata.name}.${name}${suffix}.log`, ['logs', '-n', namespace, pod.metadata.name, '-c', name, '--tail=5000', ...more])
        work.push(log('', []))
        if (restartCount > 0) work.push(log('.previous', ['--previous']))
      }
    }
  }
  await inParallel(work, 4, (each) => each())
}
