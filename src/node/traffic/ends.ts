import type { WorkloadEntry } from '../../model/entries.ts'
import { parseSpiffeId, type Identity } from '../../model/identity.ts'
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
  const identity = identityOf(id)
  return { namespace: identity?.namespace ?? '', workload: identity?.serviceAccount ?? '', pod: '', id, address }
}

/** What a workload says of itself in the `baggage` of its tunnels. Source: OpenTelemetry semantic conventions, as ztunnel uses them. */
export function baggageOf(entry: WorkloadEntry): string {
  let text = baggages.get(entry)
  if (text === undefined) {
    const { namespace, name } = entry
    const workload = nameOf(name)
    const deployment = isDeploymentPod(name) ? `,k8s.deployment.name=${workload}` : ''
    baggages.set(entry, (text = `k8s.namespace.name=${namespace},k8s.pod.name=${name}${deployment},service.name=${workload}`))
  }
  return text
}

// What is asked for each connection is remembered.
const baggages = new WeakMap<WorkloadEntry, string>()
const nameOf = remembered(workloadName)
const identityOf = remembered((id: string): Identity | undefined => (id === '' ? undefined : parseSpiffeId(id)))

/** @param work of which the same text always gets the same */
function remembered<T>(work: (text: string) => T): (text: string) => T {
  const known = new Map<string, { readonly result: T }>()
  return (text) => {
    let found = known.get(text)
    if (found === undefined) {
      if (known.size >= 10_000) known.clear()
      known.set(text, (found = { result: work(text) }))
    }
    return found.result
  }
}
