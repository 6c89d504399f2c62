import { isMap, own } from '../../api/field.ts'
import { apiVersionOf, kinds, type ResourceKind } from '../../api/resources.ts'
import type { KubeClient } from '../../kube/client.ts'
import { isStatus, KubeError } from '../../kube/errors.ts'
import { collectionPath, groupPath } from '../../kube/paths.ts'

/** Where the objects of a kind are, and under which version. */
export interface Served {
  readonly path: string
  /** `group/version`, or `version` alone for the core group. */
  readonly apiVersion: string
}

/**
 * Finds the version under which the cluster serves a kind: the first of those that are read.
 * @throws KubeError 404 if it serves none of them
 */
export async function findServed(client: KubeClient, kind: ResourceKind): Promise<Served> {
  const { group, versions, plural } = kinds[kind]
  const served = (version: string): Served => ({ path: collectionPath(kinds[kind], undefined, version), apiVersion: apiVersionOf(group, version) })
  // With one version there is nothing to ask: listing tells.
  if (versions.length === 1) return served(versions[0])
  for (const version of versions) {
    const answer = await discover(client, groupPath(apiVersionOf(group, version)))
    if (answer === 'unknown') return served(version)
    if (answer.includes(plural)) return served(version)
  }
  throw new KubeError(404, 'NotFound', `the cluster serves no ${plural}.${group} in ${versions.join(', ')}`)
}

/** @returns plurals of the kinds of a group and version; `unknown` if asking is not allowed */
async function discover(client: KubeClient, path: string): Promise<readonly unknown[] | 'unknown'> {
  try {
    const answer = await client.get(path)
    const resources = isMap(answer) ? own(answer, 'resources') : undefined
    return Array.isArray(resources) ? resources.map((each: unknown) => (isMap(each) ? own(each, 'name') : undefined)) : []
  } catch (error) {
    if (isStatus(error, 404)) return []
    if (isStatus(error, 403)) return 'unknown'
    throw error
  }
}
