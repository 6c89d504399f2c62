import { refOf, type Resource, type ResourceSet } from '../api/resources.ts'
import type { Pod } from '../api/core.ts'
import { isMarkedCaptured, gatewayNameLabel, managedBy, managedByLabel } from '../model/install.ts'
import { namespacedName } from '../model/refs.ts'
import type { Warning } from '../model/status.ts'
import type { FixedOptions } from './options.ts'

/** `enabled` on a Namespace makes its pods mesh members; `disabled` on a Pod leaves it out. */
export const meshLabel = 'waymark.dev/mesh'
/** `auto` on a Namespace asks for a waypoint; `none` on a Service leaves it at L4. */
export const waypointLabel = 'waymark.dev/waypoint'

/** Labels of a namespace, whether or not its object is there; the API server sets the name's label on every one. */
export function namespaceLabels(namespace: string, given: Readonly<Record<string, string>> | undefined): Readonly<Record<string, string>> {
  return { ...given, 'kubernetes.io/metadata.name': namespace }
}

/** Whether the mesh label is on that namespace. */
export function isMeshNamespace(resources: ResourceSet, namespace: string): boolean {
  return resources.Namespace.get(namespacedName('', namespace))?.metadata.labels?.[meshLabel] === 'enabled'
}

/**
 * Whether a pod is a mesh member. Pods on the host's network are not: their address is the node's, shared with others.
 * @param inMesh whether a namespace has the mesh label
 */
export function isEnrolled(pod: Pod, inMesh: (namespace: string) => boolean): boolean {
  return pod.metadata.labels?.[meshLabel] !== 'disabled' && pod.spec?.hostNetwork !== true && inMesh(pod.metadata.namespace ?? '')
}

/** Whether an enrolled pod is reached by HBONE. */
export function isMember(pod: Pod, inMesh: (namespace: string) => boolean, nodeAgent: FixedOptions['nodeAgent']): boolean {
  if (nodeAgent === false || !isEnrolled(pod, inMesh)) return false
  return nodeAgent === true || (isCapturable(pod) && isMarkedCaptured(pod))
}

/** Whether the agent of its node may capture a pod: not the mesh's own, which speak HBONE themselves. */
export function isCapturable({ metadata: { labels } }: Pod): boolean {
  return !(labels?.[managedByLabel] === managedBy && labels[gatewayNameLabel] !== undefined)
}

/** Warns of values of our labels that mean nothing: a typo there leaves a namespace out of the mesh without a word. */
export function labelWarnings({ Namespace, Pod, Service }: Pick<ResourceSet, 'Namespace' | 'Pod' | 'Service'>): readonly Warning[] {
  const warnings: Warning[] = []
  const expect = (object: Resource, label: string, value: string): void => {
    const found = object.metadata.labels?.[label]
    if (found === undefined || found === value) return
    warnings.push({
      ref: refOf(object),
      field: `metadata.labels["${label}"]`,
      message: `"${found}" means nothing on a ${object.kind}, so the label is ignored`,
      advice: `write "${value}" or remove the label`,
    })
  }
  for (const namespace of Namespace.values()) {
    expect(namespace, meshLabel, 'enabled')
    expect(namespace, waypointLabel, 'auto')
  }
  for (const pod of Pod.values()) expect(pod, meshLabel, 'disabled')
  for (const service of Service.values()) expect(service, waypointLabel, 'none')
  return warnings
}
