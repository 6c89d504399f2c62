import { apiVersionOf, emptyResources, kinds as allKinds, type ResourceKind, type ResourceSet } from '../../api/resources.ts'
import type { KubeClient, Query } from '../../kube/client.ts'
import { isStatus } from '../../kube/errors.ts'
import type { KubeObject } from '../../kube/object.ts'
import type { NamespacedName } from '../../model/refs.ts'
import { faultOf } from './decide.ts'
import { describeProblem } from './problems.ts'
import { findServed } from './served.ts'
import { clusterKinds, optionalKinds, selectors } from './source.ts'
import { deepFreeze, trimOf } from './trim.ts'
import { readPage } from './wire.ts'

export interface ReadOptions {
  /** Default: all that translation reads. */
  readonly kinds?: readonly ResourceKind[] | undefined
  /** Longest time for one part of a list, milliseconds; default 30 s. */
  readonly timeoutMs?: number | undefined
}

/** A cluster as it was at one time, or nearly one: each kind is listed by itself. */
export interface ClusterState {
  readonly resources: ResourceSet
  /** A line with advice for each kind that can not be read; its objects are missing. */
  readonly problems: readonly KindProblem[]
}

export interface KindProblem {
  readonly kind: ResourceKind
  readonly reason: 'missing' | 'forbidden'
  /** Whether the mesh works without the kind. */
  readonly optional: boolean
  readonly line: string
}

const pageSize = 500

/**
 * Lists every kind once.
 * @throws KubeError for all but kinds that are not served or may not be read
 */
export async function readCluster(client: KubeClient, options: ReadOptions = {}): Promise<ClusterState> {
  const problems: KindProblem[] = []
  const maps = await Promise.all((options.kinds ?? clusterKinds).map(async (kind) => {
    try {
      return [kind, await listKind(client, kind, options)] as const
    } catch (error) {
      if (!isStatus(error, 403, 404)) throw error
      const optional = optionalKinds.has(kind)
      const reason = error.status === 404 ? 'missing' : 'forbidden'
      const line = reason === 'forbidden' ? forbidden(kind, error.message) : describeProblem(kind, { ...faultOf(error), failures: 1 }, optional)
      problems.push({ kind, reason, optional, line })
      return [kind, new Map()] as const
    }
  }))
  return { resources: { ...emptyResources(), ...(Object.fromEntries(maps) as Partial<ResourceSet>) }, problems }
}

function forbidden(kind: ResourceKind, message: string): string {
  const { group, plural } = allKinds[kind]
  return `${kind}: you may not list ${group === '' ? plural : `${plural}.${group}`} in all namespaces (${message}); ask for the right to list them, or use another context`
}

async function listKind(client: KubeClient, kind: ResourceKind, { timeoutMs = 30_000 }: ReadOptions): Promise<ReadonlyMap<NamespacedName, KubeObject>> {
  const { path } = await findServed(client, kind)
  const { group, versions } = allKinds[kind]
  const trim = trimOf(kind)
  const objects = new Map<NamespacedName, KubeObject>()
  for (let limit: number | undefined = pageSize; ; limit = undefined) {
    try {
      let next: string | undefined
      do {
        const page = readPage(await textOf(client, path, { ...selectors[kind], limit, continue: next }, timeoutMs))
        for (const { key, value } of page.items) objects.set(key, deepFreeze(trim(value, apiVersionOf(group, versions[0]), kind)))
        next = page.next
      } while (next !== undefined)
      return objects
    } catch (error) {
      // The list in parts took so long that its version is gone: once more, in one part.
      if (limit === undefined || !isStatus(error, 410)) throw error
      objects.clear()
    }
  }
}

async function textOf(client: KubeClient, path: string, query: Query, timeoutMs: number): Promise<string> {
  const answer = await client.stream(path, query, AbortSignal.timeout(timeoutMs))
  const chunks: Buffer[] = []
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
