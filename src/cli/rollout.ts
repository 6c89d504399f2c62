import type { Clock } from '../kit/clock.ts'
import type { KubeClient } from '../kube/client.ts'
import type { KubeObject } from '../kube/object.ts'
import { install } from '../model/install.ts'
import { controllerSelector } from './installation.ts'
import type { Io } from './io.ts'
import { troubleOf, type PodStatus } from './mesh/trouble.ts'

/** Milliseconds between two looks. */
const pollMs = 500

/** Ends after `ms`. Unlike a timer of the clock alone, it keeps the process alive. */
export async function pause(clock: Clock, ms: number): Promise<void> {
  const alive = setInterval(() => {}, 60_000)
  try {
    await new Promise<void>((resolve) => void clock.after(ms, resolve))
  } finally {
    clearInterval(alive)
  }
}

export interface RolloutOptions {
  readonly namespace: string
  readonly replicas: number
  readonly timeoutMs: number
}

/** Source: apps/v1 DeploymentStatus. */
interface DeploymentStatus {
  readonly observedGeneration?: number
  readonly updatedReplicas?: number
  readonly availableReplicas?: number
  readonly replicas?: number
}

/**
 * Waits until every controller runs what was applied. Says what changes, and at the end of the time what is in the way.
 * @returns whether they all do
 */
export async function waitForController(client: KubeClient, clock: Clock, { namespace, replicas, timeoutMs }: RolloutOptions, io: Io): Promise<boolean> {
  const endMs = clock.now() + timeoutMs
  let said = ''
  for (;;) {
    const deployment = await client.read({ apiVersion: 'apps/v1', kind: 'Deployment', namespace, name: install.controller })
    const { available, done } = progressOf(deployment, replicas)
    if (done) return true
    const line = `waiting for the controller: ${available} of ${replicas} available`
    if (line !== said) io.say(line)
    said = line
    if (clock.now() >= endMs) {
      io.say(`waymark install: the controller is not available after ${timeoutMs / 1000} s${troubles(await controllerPods(client, namespace))}`)
      io.say(`  see kubectl -n ${namespace} describe pods -l ${controllerSelector}; kubectl -n ${namespace} logs deployment/${install.controller}; what was applied stays`)
      return false
    }
    await pause(clock, pollMs)
  }
}

function progressOf(deployment: KubeObject | undefined, wanted: number): { readonly available: number; readonly done: boolean } {
  const { observedGeneration = 0, updatedReplicas = 0, availableReplicas = 0, replicas = 0 } = (deployment?.['status'] ?? {}) as DeploymentStatus
  // Until the generation is observed, the status is about an older template.
  if (deployment === undefined || observedGeneration < (deployment.metadata.generation ?? 0)) return { available: 0, done: false }
  const available = Math.min(updatedReplicas, availableReplicas)
  return { available, done: replicas === updatedReplicas && available >= wanted }
}

/** The controller's pods, going ones too. */
export async function controllerPods(client: KubeClient, namespace: string): Promise<readonly Pod[]> {
  const list = (await client.get(`/api/v1/namespaces/${namespace}/pods`, { labelSelector: controllerSelector })) as { readonly items: readonly Pod[] }
  return list.items
}

/** The part of a Pod that says why it does not run. Source: core/v1. */
export interface Pod {
  readonly metadata: { readonly name: string }
  readonly status?: PodStatus
}

function troubles(pods: readonly Pod[]): string {
  if (pods.length === 0) return ': it has no pods; a quota or an admission policy may refuse them'
  const lines = pods.flatMap(({ metadata, status = {} }) => {
    const isReady = status.containerStatuses?.every(({ ready }) => ready) === true
    const why = troubleOf(status) ?? (isReady ? undefined : 'it runs and is not ready; see its log, and /readyz on port 15021')
    return why === undefined ? [] : [`${metadata.name}: ${why}`]
  })
  return lines.length === 0 ? '' : `: ${lines.join('; ')}`
}
