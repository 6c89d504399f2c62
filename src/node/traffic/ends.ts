import type { WorkloadEntry } from '../../model/entries.ts'
import { parseSpiffeId } from '../../model/identity.ts'
import { isDeploymentPod, workloadName, type ConnectionEnd } from '../../telemetry/connections.ts'
import type { TrafficView } from './view.ts'

/** A pod as an end of a connection. @param address `address:port` */
export function podEnd({ namespace, name, identity }: WorkloadEntry, address: string): ConnectionEnd {
  return { namespace, workload: nameOf(name), pod: name, id: identity, address }
}

/**
 * A client, told by its certificate and, if the pod at its address has that identity, by that pod's name.
 * @param id SPIFFE id; '' if it came in plain: then it is only told by its address
 */
export function clientEnd(view: TrafficView, ip: string, address: string, id: string): ConnectionEnd {
  const pod = view.index.workloads.get(ip)
  if (pod !== undefined && (id === '' || pod.identity === id)) return { ...podEnd(pod, address), id }
  const identity = id === '' ? undefined : parseSpiffeId(id)
  return { namespace: identity?.namespace ?? '', workload: identity?.serviceAccount ?? '', pod: '', id, address }
}

/** What a workload says of itself in the `baggage` of its tunnels. Source: OpenTelemetry semantic conventions, as ztunnel uses them. */
export function baggageOf({ namespace, name }: WorkloadEntry): string {
  const workload = nameOf(name)
  const deployment = isDeploymentPod(name) ? `,k8s.deployment.name=${workload}` : ''
  return `k8s.namespace.name=${namespace},k8s.pod.name=${name}${deployment},service.name=${workload}`
}

const names = new Map<string, string>()

/** Remembered, for it is asked for each connection. */
function nameOf(pod: string): string {
  let name = names.get(pod)
  if (name === undefined) {
    if (names.size >= 10_000) names.clear()
    names.set(pod, (name = workloadName(pod)))
  }
  return name
}
