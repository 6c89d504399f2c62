import type { NodeRole, Role } from './case.ts'
import { driverPod, type Images } from './manifests.ts'
import { restartsOf } from './nodes.ts'
import type { KubeObject } from './objects.ts'
import { isReady } from './sturdy.ts'

const often = { periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 3 }
const http = (port: number): object => ({ httpGet: { path: '/status/200', port }, ...often })
const tcp = (port: number): object => ({ tcpSocket: { port }, ...often })
const grpc = (port: number): object => ({ grpc: { port }, ...often })
const exec = { exec: { command: ['true'] }, ...often }

/** A pod that the kubelet asks in every way that there is, to begin, to be ready and to live, with the mutual TLS that its policy demands of everybody else. */
export function probedObjects(role: Role, name: string, node: NodeRole, images: Images): readonly KubeObject[] {
  const pod = driverPod(role, name, node, images)
  const { containers: [container = {}] = [], ...spec } = pod['spec'] as { readonly containers?: readonly object[] }
  const serving = (at: number, probes: object): object => ({
    ...container, name: `app-${at}`, command: ['node', '/app/main.ts', 'serve', '--http', String(8080 + at), '--grpc', String(9090 + at), '--tcp', String(9000 + at), '--udp', String(9053 + at)], ...probes,
  })
  return [
    { apiVersion: 'policy.waymark.dev/v1alpha1', kind: 'MTLSPolicy', metadata: { name, namespace: role }, spec: { mode: 'Strict', selector: { matchLabels: { app: name } } } },
    {
      ...pod, spec: {
        ...spec,
        containers: [
          serving(0, { startupProbe: { ...http(8080), failureThreshold: 60 }, readinessProbe: grpc(9090), livenessProbe: tcp(9000) }),
          serving(1, { startupProbe: { ...tcp(9001), failureThreshold: 60 }, readinessProbe: http(8081), livenessProbe: grpc(9091) }),
          serving(2, { startupProbe: { ...grpc(9092), failureThreshold: 60 }, readinessProbe: exec, livenessProbe: http(8082) }),
        ],
      },
    },
  ]
}

/** Whether all of its probes have passed so far. */
export function isUnharmed(pod: KubeObject): boolean {
  return isReady(pod) && [0, 1, 2].every((at) => restartsOf(pod, `app-${at}`) === 0)
}
