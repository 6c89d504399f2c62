import { messageOf } from '../../kit/message.ts'
import type { KubeClient } from '../../kube/client.ts'
import { isStatus, KubeError } from '../../kube/errors.ts'
import type { KubeObject } from '../../kube/object.ts'
import { adviceFor } from '../cluster.ts'
import { failure, ok, warning, type Line } from './report.ts'

/** The oldest minor version of Kubernetes 1 that the chart takes, and on which the CRDs' rules run. */
export const leastMinor = 31

/** Milliseconds until the API server must say its version. */
const timeoutMs = 10_000

/** Whether there is an API server at all: nothing else can be looked at without it. */
export interface Reached {
  readonly lines: readonly Line[]
  readonly reachable: boolean
}

/** Asks the API server for its version. */
export async function reach(client: KubeClient): Promise<Reached> {
  try {
    const answer = await client.stream('/version', {}, AbortSignal.timeout(timeoutMs))
    const chunks: Buffer[] = []
    for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk)
    return { reachable: true, lines: [ok(`the API server answers at ${client.server}`), judgeVersion(Buffer.concat(chunks).toString())] }
  } catch (error) {
    if (error instanceof KubeError && error.status === 403) return { reachable: true, lines: [ok(`the API server answers at ${client.server}`), warning('its version is not told', 'use a context whose user may get /version')] }
    const message = messageOf(error)
    return { reachable: false, lines: [failure(`the API server does not answer at ${client.server}: ${message}`, adviceFor(error) || 'is the cluster up, and is it the right context?')] }
  }
}

/** @param text what `/version` says */
export function judgeVersion(text: string): Line {
  const version = gitVersion(text)
  const [, major, minor] = /^v(\d+)\.(\d+)/.exec(version) ?? []
  if (major === undefined || minor === undefined) return warning(`the version of Kubernetes can not be told from "${version}"`, `see that it is 1.${leastMinor} or later`)
  if (Number(major) === 1 && Number(minor) < leastMinor) return failure(`Kubernetes ${version} is too old`, `use 1.${leastMinor} or later`)
  return ok(`Kubernetes ${version} is recent enough`)
}

function gitVersion(text: string): string {
  try {
    const value = JSON.parse(text) as { readonly gitVersion?: unknown } | null
    return typeof value?.gitVersion === 'string' ? value.gitVersion : ''
  } catch {
    return ''
  }
}

/** Who asks, as the API server knows them. */
export async function whoAmI(client: KubeClient): Promise<Line> {
  try {
    const review = await client.create({ apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview', metadata: {} as KubeObject['metadata'] })
    const { userInfo } = (review['status'] ?? {}) as { readonly userInfo?: { readonly username?: string } }
    return ok(`you are ${userInfo?.username ?? 'nobody by name'}`)
  } catch (error) {
    if (isStatus(error, 401)) return failure('the API server does not know the kubeconfig\'s user', 'log in again, or use another context')
    // Older API servers can not say, and some do not let everybody ask: what counts are the rights.
    if (isStatus(error, 403, 404, 405)) return ok('the API server does not tell who you are')
    throw error
  }
}
