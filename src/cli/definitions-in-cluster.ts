import type { Channel } from '../api/schema.ts'
import type { Clock } from '../kit/clock.ts'
import type { KubeClient } from '../kube/client.ts'
import type { KubeObject } from '../kube/object.ts'
import { cliFieldManager, gatewayApiDefinitions } from './installation.ts'
import type { Io } from './io.ts'
import { pause } from './rollout.ts'

const version = 'gateway.networking.k8s.io/bundle-version'
const channelOf = 'gateway.networking.k8s.io/channel'

/** Milliseconds between two looks at a definition. */
const pollMs = 250

/**
 * Applies Gateway API's CRDs of a channel and waits until they are served. What is newer, or of the experimental channel, is left as it is:
 * going back would drop fields of stored objects.
 * @returns whether all are served within the time
 */
export async function applyDefinitions(client: KubeClient, clock: Clock, options: { readonly channel: Channel; readonly timeoutMs: number }, io: Io): Promise<boolean> {
  const endMs = clock.now() + options.timeoutMs
  const definitions = gatewayApiDefinitions(options.channel)
  for (const definition of definitions) {
    const present = await client.read(refTo(definition))
    const reason = present === undefined ? undefined : whyKeep(present, definition)
    if (reason === undefined) await client.apply(definition, cliFieldManager)
    io.say(reason === undefined ? `applied CustomResourceDefinition ${definition.metadata.name}` : `kept CustomResourceDefinition ${definition.metadata.name}: ${reason}`)
  }
  for (const definition of definitions) {
    while (!isEstablished(await client.read(refTo(definition)))) {
      if (clock.now() >= endMs) {
        io.say(`waymark install: CustomResourceDefinition ${definition.metadata.name} is not served after ${options.timeoutMs / 1000} s; see kubectl describe crd ${definition.metadata.name}`)
        return false
      }
      await pause(clock, pollMs)
    }
  }
  return true
}

/** Why what is in the cluster must stay; undefined: ours may take its place. */
export function whyKeep(present: KubeObject, wanted: KubeObject): string | undefined {
  const there = annotations(present)
  const ours = annotations(wanted)
  const age = compareVersions(there[version], ours[version])
  if (age > 0) return `${there[version] ?? ''} is newer than ${ours[version] ?? ''}`
  if (there[channelOf] === 'experimental' && ours[channelOf] !== 'experimental') {
    return `it is ${there[version] ?? ''} of the experimental channel, of which the standard one would drop fields${age < 0 ? '; to update it: --crds experimental' : ''}`
  }
  return undefined
}

function annotations({ metadata }: KubeObject): Readonly<Record<string, string | undefined>> {
  return metadata.annotations ?? {}
}

/** Compares `v1.6.1` and the like by their numbers; what has none is oldest. */
function compareVersions(a = '', b = ''): number {
  const numbers = (text: string): readonly number[] => (/^v(\d+)\.(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number)
  const [left, right] = [numbers(a), numbers(b)]
  for (let at = 0; at < 3; at++) {
    const difference = (left[at] ?? -1) - (right[at] ?? -1)
    if (difference !== 0) return difference
  }
  return 0
}

function refTo({ apiVersion, kind, metadata }: KubeObject): { readonly apiVersion: string; readonly kind: string; readonly name: string } {
  return { apiVersion, kind, name: metadata.name }
}

function isEstablished(definition: KubeObject | undefined): boolean {
  const { conditions = [] } = (definition?.['status'] ?? {}) as { readonly conditions?: readonly { readonly type: string; readonly status: string }[] }
  return conditions.some(({ type, status }) => type === 'Established' && status === 'True')
}
