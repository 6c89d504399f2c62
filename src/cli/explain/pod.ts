import type { Pod } from '../../api/core.ts'
import type { ResourceSet } from '../../api/resources.ts'
import { decideCaptured, indexDestinations, resolveHost, type DestinationIndex, type UnknownDestinations } from '../../model/destination.ts'
import { endpointsKey, type Endpoint, type EndpointsEntry, type WorkloadEntry } from '../../model/entries.ts'
import { formatSpiffeId, parseSpiffeId } from '../../model/identity.ts'
import { capturedAnnotation, isMarkedCaptured } from '../../model/install.ts'
import { namespacedName } from '../../model/refs.ts'
import type { Snapshot } from '../../model/snapshot.ts'
import { admitPlaintext } from '../../node/traffic/admission.ts'
import { guardsOf } from '../../node/traffic/guards.ts'
import { compileView, defaultMeshPorts } from '../../node/traffic/view.ts'
import { isMeshNamespace, meshLabel } from '../../translate/labels.ts'
import { isOver, podIdentity } from '../../translate/workloads.ts'
import { whyLeftAlone } from '../mesh/agents.ts'
import { UsageError, type PodRef } from '../usage.ts'
import { reasonAnswer } from './backends.ts'
import { explainProbe } from './explain.ts'
import type { ExplainedBackend, ExplainedCaller, Explanation } from './explanation.ts'
import type { Probe } from './probe.ts'

/** What is known of the mesh around a pod. */
export interface PodWorld {
  readonly resources: Pick<ResourceSet, 'Pod' | 'Namespace'>
  readonly snapshot: Snapshot
  readonly trustDomain: string
  readonly unknown: UnknownDestinations
  /** `reported`: a pod is captured if it is marked so; `true`: if its labels say that it shall be, as in a folder; `false`: there are no agents. */
  readonly nodeAgent: boolean | 'reported'
}

/**
 * Says what becomes of a connection that a pod opens: whether it is captured, which way it takes, and what is made of it there.
 * @throws {UsageError} if there is no such pod
 */
export function explainFromPod(world: PodWorld, ref: PodRef, probe: Probe): Explanation {
  const pod = world.resources.Pod.get(namespacedName(ref.namespace, ref.pod))
  if (pod === undefined || isOver(pod)) throw new UsageError(`there is no pod ${ref.namespace}/${ref.pod}${pod === undefined ? '' : ' that has not ended'}; write pod/NAME.NAMESPACE`)
  const caller = callerOf(pod, world)
  const address = pod.status?.podIP
  const sent: Probe = address === undefined ? probe : { ...probe, from: address }
  return { ...(caller.captured ? throughAgent(world, pod, sent) : pastTheMesh(world, pod, sent)), pod: caller }
}

function callerOf(pod: Pod, { resources, nodeAgent }: PodWorld): ExplainedCaller {
  const { namespace = '', name } = pod.metadata
  const why = whyLeftAlone(pod, (each) => isMeshNamespace(resources as ResourceSet, each))
  const isMarked = isMarkedCaptured(pod)
  const facts = { name: `${namespace}/${name}`, ...(pod.spec?.nodeName === undefined ? {} : { node: pod.spec.nodeName }) }
  if (nodeAgent === false) return { ...facts, captured: false, because: 'there are no agents on the nodes, so that nothing is captured; a waymark connect container would take it into the mesh (--from NAMESPACE/SERVICE-ACCOUNT explains that)' }
  if (why !== undefined) return { ...facts, captured: false, because: `${why}, so that no agent captures it` }
  const enrolled = `namespace ${namespace} is labelled ${meshLabel}=enabled`
  if (nodeAgent === 'reported' && !isMarked) return { ...facts, captured: false, because: `${enrolled}, and it does not have the mark ${capturedAnnotation}=true yet: waymark check says why` }
  return { ...facts, captured: true, because: nodeAgent === 'reported' ? `${enrolled}, and it has the mark ${capturedAnnotation}=true` : `${enrolled}, and the agent of its node captures it` }
}

/** As its node's agent takes it. */
function throughAgent({ snapshot, trustDomain, unknown }: PodWorld, pod: Pod, probe: Probe): Explanation {
  const caller = parseSpiffeId(podIdentity(pod, trustDomain))
  if (caller === undefined) throw new UsageError(`pod ${pod.metadata.namespace ?? ''}/${pod.metadata.name} has no service account that can be named`)
  const index = indexDestinations(snapshot)
  const address = addressOf(index, caller.namespace, probe)
  const decision = address === undefined ? undefined : decideCaptured(index, caller, address, probe.port, unknown)
  if (address === undefined || decision?.kind === 'outside') {
    const target = `${address ?? probe.host}:${probe.port}`
    const known = address === undefined ? 'no Service or pod of this cluster has that name' : 'no Service or pod has that address'
    const base = { caller: formatSpiffeId(caller), request: requestOf(probe), level: 'none', candidates: [] } as const
    if (unknown === 'refuse') return { ...base, way: 'nowhere', because: `${known}, and the agents refuse what the mesh does not know`, backends: [], answer: cut('unknown-destination', target) }
    return { ...base, way: 'outside', because: `${known}: the agent passes it on in plain, from the pod's own address`, backends: [one(target, [])] }
  }
  const explained = explainProbe(snapshot, caller, address === resolveHost(probe.host, caller.namespace) || decision?.kind !== 'workload' ? probe : { ...probe, host: address })
  const way = explained.waypoint === undefined ? (explained.backends.length > 0 ? 'straight' : 'nowhere') : decision?.kind === 'waypoint' && decision.level === 'consumer' ? 'own waypoint' : 'waypoint of the Service'
  // An agent gives no answers of HTTP: it resets the connection.
  return explained.waypoint !== undefined || explained.answer?.reason === undefined ? { ...explained, way } : { ...explained, way, answer: { ...cut(explained.answer.reason, ''), message: explained.answer.message } }
}

/** As the kernel and kube-proxy take it: in plain, to whoever takes that. */
function pastTheMesh({ snapshot, unknown }: PodWorld, pod: Pod, probe: Probe): Explanation {
  const { namespace = '' } = pod.metadata
  const index = indexDestinations(snapshot)
  const base = { caller: 'nobody that the mesh knows: it speaks in plain', request: requestOf(probe), level: 'none', candidates: [] } as const
  const service = index.services.get(resolveHost(probe.host, namespace))
  const workload = index.workloads.get(resolveHost(probe.host, namespace))
  const entry = service && (snapshot.get(endpointsKey(service.namespace, service.name)) as EndpointsEntry | undefined)
  const endpoints: readonly Endpoint[] = entry?.ports.find(({ port }) => port === probe.port)?.endpoints ?? []
  const judge = (endpoint: Pick<Endpoint, 'address' | 'port'>): Explanation['answer'] => judgePlain(index, snapshot, endpoint, probe, unknown)
  if (service !== undefined) {
    const where = `Service ${service.namespace}/${service.name}:${probe.port}`
    const answers = endpoints.map(judge)
    const [first] = answers
    const isCommon = first !== undefined && answers.every((each) => each?.reason === first.reason)
    return {
      ...base, way: 'past the mesh', destination: { service: `${service.namespace}/${service.name}`, port: probe.port },
      because: 'kube-proxy chooses the endpoint, no routes and no waypoint apply, and no certificate says who calls',
      backends: [{ ...one(where, endpoints.map(plain)), ...(isCommon ? { answer: first } : {}) }], ...(isCommon ? { answer: first } : {}),
    }
  }
  if (workload !== undefined) {
    const endpoint = { address: resolveHost(probe.host, namespace), port: probe.port }
    const answer = judge(endpoint)
    return {
      ...base, way: 'past the mesh', destination: { pod: `${workload.namespace}/${workload.name}`, port: probe.port }, because: 'it goes straight to the pod, and no certificate says who calls',
      backends: [one(`pod ${workload.namespace}/${workload.name}`, [plain({ ...endpoint, condition: 'ready', transport: { kind: 'plain' } })])], ...(answer === undefined ? {} : { answer }),
    }
  }
  return { ...base, way: 'past the mesh', because: 'the mesh has nothing to do with it, neither here nor there', backends: [one(`${probe.host}:${probe.port}`, [])] }
}

/** What the agent before an endpoint's pod makes of a connection in plain; undefined: it is let in, or there is no agent. */
function judgePlain(index: DestinationIndex, snapshot: Snapshot, { address, port }: Pick<Endpoint, 'address' | 'port'>, { from = '' }: Probe, unknown: UnknownDestinations): Explanation['answer'] {
  const workload: WorkloadEntry | undefined = index.workloads.get(address)
  if (workload?.enrolled !== true) return undefined
  const config = { view: compileView(snapshot, { node: workload.node ?? '', unknown }), guards: guardsOf(workload, snapshot) }
  const admission = admitPlaintext(config, defaultMeshPorts, { remoteIp: from, host: address, port })
  return admission.kind === 'deliver' ? undefined : cut(admission.reason, admission.detail === '' ? `the agent before pod ${workload.namespace}/${workload.name} takes no plain connection from it` : admission.detail)
}

/** Where a name leads, as the cluster's DNS says: a Service's own address, or that of an endpoint if it has none. */
function addressOf(index: DestinationIndex, namespace: string, { host, port }: Probe): string | undefined {
  const name = resolveHost(host, namespace)
  const service = index.services.get(name)
  if (service === undefined) return /^[\d.]+$|:/.test(name) ? name : undefined
  const [own] = service.clusterIPs
  if (own !== undefined) return own
  const entry = index.snapshot.get(endpointsKey(service.namespace, service.name)) as EndpointsEntry | undefined
  return (entry?.ports.find((each) => each.port === port) ?? entry?.ports[0])?.endpoints[0]?.address ?? name
}

function cut(reason: Parameters<typeof reasonAnswer>[0], detail: string): NonNullable<Explanation['answer']> {
  return reasonAnswer(reason, detail, { protocol: 'tcp' })
}

function one(target: string, endpoints: readonly Endpoint[]): ExplainedBackend {
  return { target, weight: 1, sharePercent: 100, filters: [], changes: [], endpoints }
}

/** As it is reached by somebody whom no agent carries. */
function plain(endpoint: Endpoint): Endpoint {
  return { ...endpoint, transport: { kind: 'plain' } }
}

function requestOf({ text, protocol }: Probe): Explanation['request'] {
  return { text, protocol }
}
