import { messageOf } from '../kit/message.ts'
import { isStatus, KubeError } from '../kube/errors.ts'
import type { KubeObject } from '../kube/object.ts'

/** What the API server's refusal of an object means, with what to do; undefined: it is nothing to tell anybody, it will pass. */
export function refusal(error: unknown, object: KubeObject): string | undefined {
  const { kind, metadata } = object
  const what = `${kind} ${metadata.namespace ?? ''}/${metadata.name}`
  if (!(error instanceof KubeError)) return `${what}: ${messageOf(error)}`
  // Everything in it goes away by itself.
  if (isStatus(error, 403, 404) && /being terminated|namespaces? "[^"]*" not found/.test(error.message)) return undefined
  if (isStatus(error, 403)) return `${what} was refused: ${tidy(error)}; ${forbiddenAdvice(error.message, metadata.namespace ?? '')}`
  if (isStatus(error, 400, 422)) return `${what} was refused: ${tidy(error)}; mend spec.infrastructure of the Gateway or its parameters`
  if (isStatus(error, 404)) return `${what}: the cluster does not serve ${object.apiVersion} ${kind}; see: kubectl api-resources`
  return `${what} can not be written: ${tidy(error)}; it is tried again`
}

/** What keeps a Deployment from having its pods, from its own conditions; undefined: nothing does. */
export function deploymentProblem(live: KubeObject): string | undefined {
  const { namespace = '', name } = live.metadata
  const failing = conditionOf(live, 'ReplicaFailure')
  if (failing?.status === 'True') return `pods can not be made: ${failing.message}; ${forbiddenAdvice(failing.message, namespace)}`
  const progressing = conditionOf(live, 'Progressing')
  if (progressing?.status === 'False' && progressing.reason === 'ProgressDeadlineExceeded') {
    return `pods do not get ready; see why: kubectl describe pods -n ${namespace} -l gateway.networking.k8s.io/gateway-name=${name}`
  }
  return undefined
}

function forbiddenAdvice(message: string, namespace: string): string {
  if (message.includes('PodSecurity') || message.includes('pod-security')) return 'waypoints fit the restricted standard: look for what changes their pods, such as another mesh\'s injection'
  if (message.includes('quota')) return `raise the quota, or lower the requests in the Gateway's parameters; see: kubectl describe resourcequota -n ${namespace}`
  if (message.includes('admission') || message.includes('webhook')) return 'an admission policy of the cluster refuses it: ask whoever runs that'
  return 'the controller lacks a right: install its roles again, see: waymark check'
}

function conditionOf(live: KubeObject, type: string): { readonly status: string; readonly reason: string; readonly message: string } | undefined {
  const status = live['status'] as { readonly conditions?: unknown } | undefined
  const conditions: readonly unknown[] = Array.isArray(status?.conditions) ? (status.conditions as readonly unknown[]) : []
  for (const condition of conditions) {
    const found = condition as Partial<Record<'type' | 'status' | 'reason' | 'message', string>> | null
    if (found?.type === type) return { status: found.status ?? '', reason: found.reason ?? '', message: (found.message ?? '').slice(0, 500) }
  }
  return undefined
}

/** Without the request in front, and not longer than anybody reads. */
function tidy(error: KubeError): string {
  return error.message.replace(/^[A-Z]+ \S+: \d* ?/, '').slice(0, 500)
}
