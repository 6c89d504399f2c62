import type { KubeClient } from '../../kube/client.ts'
import { judgeDefinitions, judgeOwn, readDefinitions } from '../../sources/kube/definitions.ts'
import { unlessForbidden, type Line } from './report.ts'

const advice = 'use a context whose user may get customresourcedefinitions'

/** Looks at the definitions of Gateway API, if that is allowed. */
export function checkDefinitions(client: KubeClient): Promise<readonly Line[]> {
  return unlessForbidden('the CRDs of Gateway API', async () => judgeDefinitions(await readDefinitions(client, 'gateway')), advice)
}

/** Looks at the definitions of the mesh's own kinds, if that is allowed. */
export function checkOwnDefinitions(client: KubeClient): Promise<readonly Line[]> {
  return unlessForbidden('the mesh\'s own CRDs', async () => judgeOwn(await readDefinitions(client, 'own')), advice)
}
