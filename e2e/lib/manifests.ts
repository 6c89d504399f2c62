import { gatewayNameLabel, install, configLabel } from '../../src/model/install.ts'
import type { App, Entry, NodeRole, Role, Room } from './case.ts'
import type { KubeObject } from './objects.ts'

/** What the suite's pods are made of. */
export interface Images {
  readonly waymark: string
  readonly app: string
}

/** Ports of the test application's Services. */
export const appPorts = [
  { name: 'http', port: 80, targetPort: 'http' },
  { name: 'grpc', port: 9090, targetPort: 'grpc', appProtocol: 'grpc' },
  { name: 'tcp', port: 9000, targetPort: 'tcp', appProtocol: 'tcp' },
] as const

const restricted = {
  pod: { runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000, seccompProfile: { type: 'RuntimeDefault' } },
  container: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
}

const env = [
  { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
  { name: 'POD_NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
  { name: 'VERSION', valueFrom: { fieldRef: { fieldPath: "metadata.labels['version']" } } },
]

/** One waypoint pod is enough for most cases, and asks for little. */
const smallWaypoint = { replicas: '1', cpuRequest: '10m', memoryRequest: '64Mi' }

/** Everything that a room has, its Namespace first. */
export function roomObjects(role: Role, room: Room, entry: Entry, images: Images): readonly KubeObject[] {
  const { mesh = true, labels = {}, waypoint = smallWaypoint, apps = {}, client = false, drivers = {}, collector = false } = room
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: role, labels: { 'waymark.dev/e2e': 'true', ...(mesh ? { 'waymark.dev/mesh': 'enabled' } : {}), ...labels } } },
    ...(waypoint === false ? [] : waypointObjects(role, { ...smallWaypoint, ...waypoint })),
    ...Object.entries(apps).map(([name, app]) => appDeployment(role, name, app, images)),
    ...(client === false ? [] : entry === 'connect' ? clientObjects(role, images) : plainClient(role, client === true ? undefined : client, images)),
    ...Object.entries(drivers).map(([name, node]) => driverPod(role, name, node, images)),
    ...(collector ? collectorObjects(role, images) : []),
  ]
}

/** A Gateway of class `waypoint` and its parameters. */
export function waypointObjects(role: Role, parameters: Readonly<Record<string, string>>): readonly KubeObject[] {
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'waypoint-parameters', namespace: role, labels: { [configLabel]: 'parameters' } }, data: parameters },
    {
      apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', metadata: { name: 'waypoint', namespace: role },
      spec: {
        gatewayClassName: 'waypoint',
        listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }],
        infrastructure: { parametersRef: { group: '', kind: 'ConfigMap', name: 'waypoint-parameters' } },
      },
    },
  ]
}

/** The test application; at its end it serves on until traffic has ceased. */
export function appDeployment(role: Role, name: string, { version, app = 'echo', replicas = 1, httpPort = 8080, answer = 200, node }: App, images: Images): KubeObject {
  const labels = { app, version }
  return {
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace: role },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: { labels },
        spec: {
          automountServiceAccountToken: false, enableServiceLinks: false, terminationGracePeriodSeconds: 30, securityContext: restricted.pod, ...placement(node),
          containers: [{
            name: 'app', image: images.app, imagePullPolicy: 'IfNotPresent', args: ['serve', '--http', String(httpPort), '--answer', String(answer)], env, securityContext: restricted.container,
            ports: [{ name: 'http', containerPort: httpPort }, { name: 'grpc', containerPort: 9090 }, { name: 'tcp', containerPort: 9000 }],
            readinessProbe: { httpGet: { path: '/status/200', port: 'http' }, periodSeconds: 1, failureThreshold: 3 },
            resources: { requests: { cpu: '10m', memory: '48Mi' } },
          }],
        },
      },
    },
  }
}

/** A pod that enters the mesh as its service account, with a driver beside the entry. */
export function clientObjects(role: Role, images: Images, name = 'client'): readonly KubeObject[] {
  const directory = (file: string): string => file.slice(0, file.lastIndexOf('/'))
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: role } },
    {
      apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: role, labels: { app: name, version: 'client' } },
      spec: {
        serviceAccountName: name, automountServiceAccountToken: false, enableServiceLinks: false, terminationGracePeriodSeconds: 2, securityContext: restricted.pod,
        containers: [
          {
            name: 'connect', image: images.waymark, imagePullPolicy: 'IfNotPresent', args: ['connect', '--ready-port', '15021'], env: env.slice(0, 2), securityContext: restricted.container,
            readinessProbe: { httpGet: { path: '/readyz', port: 15021 }, periodSeconds: 1, failureThreshold: 3 },
            resources: { requests: { cpu: '10m', memory: '64Mi' } },
            volumeMounts: [
              { name: 'token', mountPath: directory(install.tokenFile), readOnly: true },
              { name: 'trust-bundle', mountPath: directory(install.bundleFile), readOnly: true },
              { name: 'state', mountPath: install.stateDirectory },
            ],
          },
          {
            name: 'driver', image: images.app, imagePullPolicy: 'IfNotPresent', command: ['sleep', 'infinity'], env, securityContext: restricted.container,
            resources: { requests: { cpu: '10m', memory: '48Mi' } },
          },
        ],
        volumes: [
          { name: 'token', projected: { sources: [{ serviceAccountToken: { audience: install.tokenAudience, expirationSeconds: 3600, path: 'token' } }] } },
          { name: 'trust-bundle', configMap: { name: install.bundleConfigMap } },
          { name: 'state', emptyDir: { medium: 'Memory', sizeLimit: '64Mi' } },
        ],
      },
    },
  ]
}

/** Puts a pod on one of the cluster's nodes. */
function placement(node: NodeRole | undefined): object {
  const label = 'node-role.kubernetes.io/control-plane'
  if (node === undefined) return {}
  if (node === 'control-plane') return { nodeSelector: { [label]: '' }, tolerations: [{ key: label, operator: 'Exists' }] }
  return { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: label, operator: 'DoesNotExist' }] }] } } } }
}

/** A pod that waits for a driver, and has nothing of the mesh in it. @param command what it does instead */
export function driverPod(role: Role, name: string, node: NodeRole | undefined, images: Images, command: readonly string[] = ['sleep', 'infinity']): KubeObject {
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: role, labels: { app: name, version: 'driver' } },
    spec: {
      automountServiceAccountToken: false, enableServiceLinks: false, terminationGracePeriodSeconds: 1, securityContext: restricted.pod, ...placement(node),
      containers: [{
        name: 'driver', image: images.app, imagePullPolicy: 'IfNotPresent', command, env, securityContext: restricted.container, resources: { requests: { cpu: '10m', memory: '16Mi' } },
      }],
    },
  }
}

/** The client of a namespace whose pods are captured: its account, and an ordinary pod. */
function plainClient(role: Role, node: NodeRole | undefined, images: Images): readonly KubeObject[] {
  const pod = driverPod(role, 'client', node, images)
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'client', namespace: role } },
    { ...pod, spec: { ...(pod['spec'] as object), serviceAccountName: 'client' } },
  ]
}

/** A collector of traces, which takes OTLP/HTTP in JSON on port 4318 and gives the spans of a trace. */
export function collectorObjects(role: Role, images: Images): readonly KubeObject[] {
  const labels = { app: 'collector', version: 'collector' }
  return [
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'collector', namespace: role }, spec: { selector: labels, ports: [{ name: 'otlp', port: 4318 }] } },
    {
      apiVersion: 'v1', kind: 'Pod', metadata: { name: 'collector', namespace: role, labels },
      spec: {
        automountServiceAccountToken: false, enableServiceLinks: false, terminationGracePeriodSeconds: 1, securityContext: restricted.pod,
        containers: [{
          name: 'collector', image: images.app, imagePullPolicy: 'IfNotPresent', command: ['node', '/app/collector.ts'], securityContext: restricted.container,
          readinessProbe: { tcpSocket: { port: 4318 }, periodSeconds: 1 }, resources: { requests: { cpu: '10m', memory: '48Mi' } },
        }],
      },
    },
  ]
}

/** A Service of the test application with all of its ports, unless told otherwise. @param selector undefined: none */
export function service(role: Role, name: string, selector: Readonly<Record<string, string>> | undefined, more: object = {}): KubeObject {
  return {
    apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: role },
    spec: { ...(selector === undefined ? {} : { selector }), ports: appPorts, ...more },
  }
}

/** A reference to a Service as a parent of routes. */
export function parent(name: string, more: { readonly namespace?: Role; readonly port?: number; readonly sectionName?: string } = {}): object {
  return { group: '', kind: 'Service', name, ...more }
}

/** A reference to a Service as a backend; port 80 unless told otherwise. */
export function backend(name: string, more: Readonly<Record<string, unknown>> = {}): object {
  return { name, port: 80, ...more }
}

type RouteKind = 'HTTPRoute' | 'GRPCRoute' | 'TCPRoute' | 'TLSRoute'

export function route(kind: RouteKind, role: Role, name: string, parents: readonly object[], rules: readonly object[]): KubeObject {
  return { apiVersion: 'gateway.networking.k8s.io/v1', kind, metadata: { name, namespace: role }, spec: { parentRefs: parents, rules } }
}

/** Selects the pods of a waypoint. */
export const waypointSelector = `${gatewayNameLabel}=waypoint`

/** Labels by which Services find the pods of the standing place. */
export const echo = { both: { app: 'echo' }, v1: { app: 'echo', version: 'v1' }, v2: { app: 'echo', version: 'v2' }, nobody: { app: 'nobody' } } as const
