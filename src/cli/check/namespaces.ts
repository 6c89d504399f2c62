import { suggest } from '../../api/suggest.ts'
import type { KubernetesObject } from '../../api/meta.ts'
import { describeRef } from '../../model/refs.ts'
import { configLabel } from '../../model/install.ts'
import { meshLabel, waypointLabel } from '../../translate/labels.ts'
import { waypointClass } from '../../translate/waypoints.ts'
import type { Translation } from '../../translate/options.ts'
import type { LiveCluster } from '../live.ts'
import { meshesOf } from './other-meshes.ts'
import { count, failure, ok, warning, type Line } from './report.ts'

const routeKinds: readonly string[] = ['HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute']
const ourLabels = [meshLabel, waypointLabel, configLabel] as const

/** Whether labels say what their authors mean, and namespaces of the mesh have what they need. */
export function judgeNamespaces({ resources }: Pick<LiveCluster, 'resources'>, { warnings }: Pick<Translation, 'warnings'>): readonly Line[] {
  const { Namespace, Gateway, Service, Pod } = resources
  const withWaypoint = new Set([...Gateway.values()].filter(({ spec }) => spec.gatewayClassName === waypointClass).map(({ metadata }) => metadata.namespace ?? ''))
  const present = [...Namespace.values()].filter(({ metadata }) => metadata.deletionTimestamp === undefined)
  const members = present.filter(({ metadata }) => metadata.labels?.[meshLabel] === 'enabled')
  const lines: Line[] = []
  for (const namespace of present) {
    const { name, labels } = namespace.metadata
    if (labels?.[waypointLabel] === 'auto' && !withWaypoint.has(name)) {
      lines.push(failure(`Namespace ${name} asks for a waypoint by its label ${waypointLabel}=auto, and no Gateway was made`, 'it should be there within a second: does a controller lead? See above'))
    } else if (labels?.[meshLabel] === 'enabled' && !withWaypoint.has(name)) {
      lines.push(warning(`Namespace ${name} is in the mesh and has no waypoint: routes for its Services have no effect`, `waymark waypoint apply ${name}; nothing to do if it only calls others`))
    }
    const others = meshesOf(namespace)
    if (others.length > 0 && (labels?.[meshLabel] === 'enabled' || withWaypoint.has(name))) {
      lines.push(warning(`Namespace ${name} is in two meshes: ${others.map(({ mesh }) => mesh).join(', ')} captures its traffic too`, 'take the labels of one of them away'))
    }
  }
  const labelled: readonly KubernetesObject[] = [...Namespace.values(), ...Service.values(), ...Pod.values()]
  lines.push(...labelled.flatMap(misspelt))
  for (const { metadata: { namespace = '', name }, spec: { gatewayClassName } } of Gateway.values()) {
    if (gatewayClassName === waypointClass || suggest(gatewayClassName, [waypointClass]) === undefined) continue
    lines.push(warning(`Gateway ${namespace}/${name} is of class ${gatewayClassName}, and this mesh looks after those of class ${waypointClass} only`, `perhaps gatewayClassName: ${waypointClass} is meant; nothing to do if the class is another controller's`))
  }
  lines.push(...warnings.filter(({ ref }) => !routeKinds.includes(ref.kind)).map(({ ref, field, message, advice }) => warning(`${describeRef(ref)}${field === '' ? '' : ` ${field}`}: ${message}`, advice)))
  return lines.length > 0 ? lines : [ok(`${members.length === 0 ? 'no namespace is labelled as one of the mesh yet' : `${count(members.length, 'namespace')} of the mesh ${members.length === 1 ? 'has a waypoint' : 'have a waypoint each'}`}; no label is misspelt`)]
}

/** Labels that look like ours and are not. */
function misspelt({ kind, metadata }: KubernetesObject): readonly Line[] {
  return Object.keys(metadata.labels ?? {}).flatMap((label) => {
    if ((ourLabels as readonly string[]).includes(label)) return []
    const meant = suggest(label, ourLabels)
    if (meant === undefined && !label.startsWith('waymark.dev/')) return []
    const where = metadata.namespace === undefined ? `${kind} ${metadata.name}` : `${kind} ${metadata.namespace}/${metadata.name}`
    return [warning(`${where}: the label ${label} means nothing`, meant === undefined ? `the mesh knows ${ourLabels.join(', ')}` : `perhaps ${meant} is meant`)]
  })
}
