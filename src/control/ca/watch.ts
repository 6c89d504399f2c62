import type { Clock } from '../../kit/clock.ts'
import type { KubeClient } from '../../kube/client.ts'
import { listWatch } from '../../sources/kube/list-watch.ts'
import type { WatchObserver } from '../../sources/kube/observer.ts'

export interface WatchSecretOptions {
  readonly client: KubeClient
  readonly clock: Clock
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  readonly namespace: string
  readonly name: string
  /** Something has changed, or may have while nobody looked. */
  readonly onChange: () => void
  readonly observer?: WatchObserver | undefined
}

/**
 * Tells when one Secret changes: nothing of its contents is kept. Needs list and watch on that one name only.
 * @returns what stops that
 */
export function watchSecret({ client, clock, random, namespace, name, onChange, observer }: WatchSecretOptions): () => void {
  const watch = listWatch({
    client, clock, random, kind: 'Secret', apiVersion: 'v1', path: `/api/v1/namespaces/${namespace}/secrets`, fieldSelector: `metadata.name=${name}`, observer,
    trim: ({ metadata }, apiVersion, kind) => {
      const { resourceVersion } = metadata as { readonly resourceVersion: string }
      return { apiVersion, kind, metadata: { name, namespace, resourceVersion } }
    },
    onChanges: onChange,
  })
  return watch.close
}
