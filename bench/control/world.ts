import type { KubeObject } from '../../src/kube/object.ts'
import { controllerName } from '../../src/model/status.ts'

/** How large the generated cluster is. */
export interface WorldSize {
  readonly namespaces: number
  /** Services of the first namespace, which is the large one, and of each other. */
  readonly services: { readonly first: number; readonly others: number }
  /** Pods behind each Service. */
  readonly podsEach: number
  /** Routes of each Service. */
  readonly routesEach: number
}

/** The cluster of the goals: 1,000 Services, 10,000 pods with an endpoint each, 5,000 routes. */
export const goalSize: WorldSize = { namespaces: 50, services: { first: 118, others: 18 }, podsEach: 10, routesEach: 5 }

/** Small enough to see in a few seconds that everything runs. */
export const quickSize: WorldSize = { namespaces: 4, services: { first: 10, others: 4 }, podsEach: 3, routesEach: 5 }

const gatewayVersion = 'gateway.networking.k8s.io/v1'
const created = '2026-01-01T00:00:00Z'

/** Name of namespace number `index`. */
export function namespaceName(index: number): string {
  return `team-${index}`
}

/** Name of Service number `index` of a namespace. */
export function serviceName(index: number): string {
  return `service-${index}`
}

/** Services of namespace number `namespace`. */
export function servicesOf({ services }: WorldSize, namespace: number): number {
  return namespace === 0 ? services.first : services.others
}

/** Every object of a cluster in which each namespace has a waypoint, and what goes with it. The same size gives the same objects. */
export function* worldOf(size: WorldSize): Generator<KubeObject> {
  yield gatewayClass
  for (let namespace = 0; namespace < size.namespaces; namespace++) {
    yield namespaceObject(namespace)
    yield gatewayObject(namespace)
    for (let service = 0; service < servicesOf(size, namespace); service++) {
      yield serviceObject(namespace, service)
      yield sliceObject(namespace, service, size)
      for (let pod = 0; pod < size.podsEach; pod++) yield podObject(namespace, service, pod)
      for (let route = 0; route < size.routesEach; route++) yield routeObject(namespace, service, route, size)
    }
  }
}

const gatewayClass: KubeObject = {
  apiVersion: gatewayVersion,
  kind: 'GatewayClass',
  metadata: { name: 'waypoint', creationTimestamp: created },
  spec: { controllerName },
}

function namespaceObject(index: number): KubeObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespaceName(index), creationTimestamp: created, labels: { 'kubernetes.io/metadata.name': namespaceName(index), 'waymark.dev/mesh': 'enabled' } } }
}

function gatewayObject(index: number): KubeObject {
  return {
    apiVersion: gatewayVersion,
    kind: 'Gateway',
    metadata: { name: 'waypoint', namespace: namespaceName(index), creationTimestamp: created },
    spec: { gatewayClassName: 'waypoint', listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE', allowedRoutes: { namespaces: { from: 'Same' } } }] },
  }
}

function serviceObject(namespace: number, index: number): KubeObject {
  const clusterIP = `10.${96 + (namespace >> 8)}.${namespace & 255}.${index + 1}`
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: serviceName(index), namespace: namespaceName(namespace), creationTimestamp: created, labels: { app: serviceName(index) } },
    spec: {
      type: 'ClusterIP', clusterIP, clusterIPs: [clusterIP], ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack', selector: { app: serviceName(index) },
      ports: [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP', appProtocol: 'http' }], sessionAffinity: 'None', internalTrafficPolicy: 'Cluster',
    },
    status: { loadBalancer: {} },
  }
}

function podAddress(namespace: number, service: number, pod: number): string {
  return `10.${128 + namespace}.${service}.${pod + 1}`
}

function podName(service: number, pod: number): string {
  return `${serviceName(service)}-7d4b9c6f5-${pod.toString(36).padStart(5, 'x')}`
}

/**
 * The endpoints of a Service.
 * @param missing number of the pod that is not ready
 */
export function sliceObject(namespace: number, service: number, { podsEach }: WorldSize, missing?: number): KubeObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${serviceName(service)}-abcde`, namespace: namespaceName(namespace), creationTimestamp: created,
      labels: { 'kubernetes.io/service-name': serviceName(service), 'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io' },
      ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name: serviceName(service), uid: `service-${namespace}-${service}`, controller: true, blockOwnerDeletion: true }],
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: Array.from({ length: podsEach }, (_, pod) => ({
      addresses: [podAddress(namespace, service, pod)],
      conditions: { ready: pod !== missing, serving: pod !== missing, terminating: false },
      nodeName: `node-${pod % 20}`,
      zone: `zone-${pod % 3}`,
      targetRef: { kind: 'Pod', namespace: namespaceName(namespace), name: podName(service, pod), uid: `pod-${namespace}-${service}-${pod}` },
    })),
  }
}

/** A pod with as many fields as they have: about 6 kB of JSON, most of which the mesh has no use for. */
function podObject(namespace: number, service: number, pod: number): KubeObject {
  const podIP = podAddress(namespace, service, pod)
  const mounts = [{ name: 'kube-api-access-abcde', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true }]
  const probe = { httpGet: { path: '/healthz', port: 8080, scheme: 'HTTP' }, timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: podName(service, pod), namespace: namespaceName(namespace), uid: `pod-${namespace}-${service}-${pod}`, creationTimestamp: created,
      generateName: `${serviceName(service)}-7d4b9c6f5-`,
      labels: { app: serviceName(service), 'pod-template-hash': '7d4b9c6f5', version: 'v1', team: namespaceName(namespace) },
      annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '8080', 'example.dev/build': 'a'.repeat(200) },
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `${serviceName(service)}-7d4b9c6f5`, uid: `rs-${namespace}-${service}`, controller: true, blockOwnerDeletion: true }],
    },
    spec: {
      containers: [{
        name: 'app', image: `registry.example.dev/team/${serviceName(service)}:1.2.3`, ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
        env: Array.from({ length: 20 }, (_, index) => ({ name: `SETTING_${index}`, value: `some value of setting number ${index}` })),
        resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '256Mi' } }, volumeMounts: mounts, livenessProbe: probe, readinessProbe: probe,
        terminationMessagePath: '/dev/termination-log', terminationMessagePolicy: 'File', imagePullPolicy: 'IfNotPresent',
      }],
      volumes: [{ name: 'kube-api-access-abcde', projected: { sources: [{ serviceAccountToken: { expirationSeconds: 3607, path: 'token' } }], defaultMode: 420 } }],
      restartPolicy: 'Always', terminationGracePeriodSeconds: 30, dnsPolicy: 'ClusterFirst', serviceAccountName: serviceName(service), nodeName: `node-${pod % 20}`,
      securityContext: {}, schedulerName: 'default-scheduler', priority: 0, enableServiceLinks: true, preemptionPolicy: 'PreemptLowerPriority',
      tolerations: ['not-ready', 'unreachable'].map((key) => ({ key: `node.kubernetes.io/${key}`, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 })),
    },
    status: {
      phase: 'Running', hostIP: `192.168.0.${pod % 20}`, podIP, podIPs: [{ ip: podIP }], startTime: created, qosClass: 'Burstable',
      conditions: ['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) => ({ type, status: 'True', lastTransitionTime: created })),
      containerStatuses: [{
        name: 'app', ready: true, started: true, restartCount: 0, state: { running: { startedAt: created } }, lastState: {},
        image: `registry.example.dev/team/${serviceName(service)}:1.2.3`, imageID: `registry.example.dev/team/app@sha256:${'0'.repeat(64)}`, containerID: `containerd://${'1'.repeat(64)}`,
      }],
    },
  }
}

/**
 * A route on a Service; every fifth is a consumer route of the next namespace's Service.
 * @param edition makes it differ from its earlier ones
 */
export function routeObject(namespace: number, service: number, route: number, size: WorldSize, edition = 0): KubeObject {
  const consumer = route % 5 === 4
  const target = consumer ? (namespace + 1) % size.namespaces : namespace
  const serviceAt = (offset: number): string => serviceName((service + offset) % servicesOf(size, target))
  const backend = (offset: number, weight: number): object => ({ name: serviceAt(offset), namespace: namespaceName(target), port: 80, weight })
  return {
    apiVersion: gatewayVersion,
    kind: 'HTTPRoute',
    metadata: { name: `route-${service}-${route}`, namespace: namespaceName(namespace), creationTimestamp: created },
    spec: {
      parentRefs: [{ group: '', kind: 'Service', name: serviceAt(0), namespace: namespaceName(target), port: 80 }],
      rules: [
        {
          matches: [{ path: { type: 'PathPrefix', value: `/part-${route}/edition-${edition}` }, headers: [{ type: 'Exact', name: 'x-user-group', value: 'beta' }] }],
          filters: [{ type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'x-variant', value: 'b' }] } }],
          backendRefs: [backend(0, 90), backend(1, 10)],
          timeouts: { request: '10s' },
        },
        {
          matches: [{ path: { type: 'PathPrefix', value: `/part-${route}` } }],
          backendRefs: [backend(0, 1)],
        },
      ],
    },
  }
}
