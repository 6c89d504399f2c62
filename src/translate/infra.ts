import type { Gateway } from '../api/gateway.ts'
import { refOf, type ResourceSet } from '../api/resources.ts'
import type { WaypointInfra } from '../model/infra.ts'
import { configLabel } from '../model/install.ts'
import { namespacedName } from '../model/refs.ts'
import type { Warning } from '../model/status.ts'
import { compareText } from './order.ts'
import { defaultParameters, readParameters } from './parameters.ts'
import { faultOf } from './screen.ts'

/** The value of the config label on ConfigMaps that hold parameters. */
export const parametersValue = 'parameters'

/** What must run for a waypoint, and why its parameters can not be used. */
export interface InfraReading {
  readonly infra: WaypointInfra
  /** Undefined: they can. Else what runs stays as it is. */
  readonly fault: string | undefined
  readonly warnings: readonly Warning[]
}

/** What must run for the Gateway that a namespace's label asks for: everything by default. */
export function implicitInfra(namespace: string, name: string): WaypointInfra {
  return { namespace, name, gatewayUid: undefined, labels: {}, annotations: {}, parameters: defaultParameters }
}

/** Reads `spec.infrastructure` of a Gateway. Source: GEP-1867; the parameters are the data of a ConfigMap beside the Gateway. */
export function readInfra({ ConfigMap }: Pick<ResourceSet, 'ConfigMap'>, gateway: Gateway): InfraReading {
  const { namespace = '', name, uid } = gateway.metadata
  const { labels, annotations, parametersRef: ref } = gateway.spec.infrastructure ?? {}
  const base = { namespace, name, gatewayUid: uid, labels: inOrder(labels), annotations: inOrder(annotations) }
  const unusable = (fault: string): InfraReading => ({ infra: { ...base, parameters: undefined }, fault, warnings: [] })
  const unreadable = faultOf(gateway)
  if (unreadable !== undefined) return unusable(unreadable)
  if (ref === undefined) return { infra: { ...base, parameters: defaultParameters }, fault: undefined, warnings: [] }

  if (ref.group !== '' || ref.kind !== 'ConfigMap') {
    const kind = ref.group === '' ? ref.kind : `${ref.group}/${ref.kind}`
    return unusable(`spec.infrastructure.parametersRef names a ${kind}; parameters of a waypoint are a ConfigMap (group "", kind ConfigMap)`)
  }
  const key = namespacedName(namespace, ref.name)
  const map = ConfigMap.get(key)
  // In a cluster only labelled ones are watched; in a folder the label is asked for as well, so that both behave alike.
  if (map?.metadata.labels?.[configLabel] !== parametersValue) {
    const command = `kubectl label configmap -n ${namespace} ${ref.name} ${configLabel}=${parametersValue}`
    return unusable(`ConfigMap ${key} does not exist, or it lacks the label without which it is not read; to set it: ${command}`)
  }
  const { parameters, faults, warnings } = readParameters(map.data ?? {})
  const found = warnings.map(({ key: field, message, advice }): Warning => ({ ref: refOf(map), field: `data.${field}`, message, advice }))
  if (faults.length === 0) return { infra: { ...base, parameters }, fault: undefined, warnings: found }
  return { ...unusable(`In ConfigMap ${key}: ${faults.join('; ')}`), warnings: found }
}

/** Sorted, so that equal maps are written alike. */
function inOrder(map: Readonly<Record<string, string>> | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(map ?? {}).sort(([a], [b]) => compareText(a, b)))
}
