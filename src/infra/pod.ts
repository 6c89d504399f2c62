import { dirname } from 'node:path/posix'
import type { WaypointParameters } from '../model/infra.ts'
import { install, ports } from '../model/install.ts'
import type { Installation } from './installation.ts'

/** The user and group `node` of the image's base. */
const user = 1000

export interface PodRequest {
  readonly name: string
  readonly installation: Installation
  readonly parameters: WaypointParameters
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  /** Labels that only this waypoint's pods have. */
  readonly selector: Readonly<Record<string, string>>
  /** Of the image's command. */
  readonly args: readonly string[]
  /** Seconds from SIGTERM to SIGKILL. */
  readonly graceSeconds: number
}

/**
 * The pods of a waypoint. They fit the restricted Pod Security Standard and have no token for the API server, only one that the
 * mesh's CA takes. Draining needs no hook: the process does it at SIGTERM, readiness first.
 */
export function podTemplate({ name, installation, parameters, labels, annotations, selector, args, graceSeconds }: PodRequest): object {
  const { imagePullSecrets } = installation
  const { nodeSelector, tolerations, priorityClassName } = parameters
  return {
    metadata: {
      // A waypoint ends HBONE itself: nothing on its node may do so for it.
      labels: { ...labels, 'waymark.dev/mesh': 'disabled' },
      annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': String(ports.metrics), 'prometheus.io/path': '/metrics', ...annotations },
    },
    spec: {
      serviceAccountName: name,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: graceSeconds,
      securityContext: {
        runAsNonRoot: true, runAsUser: user, runAsGroup: user, fsGroup: user, seccompProfile: { type: 'RuntimeDefault' },
      },
      ...(imagePullSecrets.length === 0 ? {} : { imagePullSecrets: imagePullSecrets.map((secret) => ({ name: secret })) }),
      ...(Object.keys(nodeSelector).length === 0 ? {} : { nodeSelector }),
      ...(tolerations.length === 0 ? {} : { tolerations }),
      ...(priorityClassName === undefined ? {} : { priorityClassName }),
      topologySpreadConstraints: ['kubernetes.io/hostname', 'topology.kubernetes.io/zone'].map((topologyKey) => ({
        maxSkew: 1, topologyKey, whenUnsatisfiable: 'ScheduleAnyway', labelSelector: { matchLabels: selector }, matchLabelKeys: ['pod-template-hash'],
      })),
      containers: [container(installation, parameters, args)],
      volumes: [
        {
          name: 'token',
          projected: { sources: [{ serviceAccountToken: { audience: install.tokenAudience, expirationSeconds: 3600, path: baseOf(install.tokenFile) } }] },
        },
        { name: 'trust-bundle', configMap: { name: install.bundleConfigMap, items: [{ key: install.bundleKey, path: baseOf(install.bundleFile) }] } },
        { name: 'state', emptyDir: { medium: 'Memory', sizeLimit: '64Mi' } },
      ],
    },
  }
}

function container({ image, imagePullPolicy, otlpEndpoint }: Installation, parameters: WaypointParameters, args: readonly string[]): object {
  const endpoint = parameters.otlpEndpoint ?? otlpEndpoint
  const probe = (path: string): object => ({ httpGet: { path, port: 'ready' } })
  return {
    name: 'waypoint',
    image: parameters.image ?? image,
    imagePullPolicy,
    args,
    env: [
      { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      ...(endpoint === undefined ? [] : [{ name: 'OTEL_EXPORTER_OTLP_ENDPOINT', value: endpoint }]),
    ],
    ports: [
      { name: 'hbone', containerPort: ports.hbone, protocol: 'TCP' },
      { name: 'metrics', containerPort: ports.metrics, protocol: 'TCP' },
      { name: 'ready', containerPort: ports.ready, protocol: 'TCP' },
    ],
    readinessProbe: { ...probe('/readyz'), periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 3 },
    // Generous: a waypoint that is slow under load must not be killed for it.
    livenessProbe: { ...probe('/livez'), initialDelaySeconds: 10, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
    resources: parameters.resources,
    securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, privileged: false, capabilities: { drop: ['ALL'] } },
    volumeMounts: [
      { name: 'token', mountPath: dirname(install.tokenFile), readOnly: true },
      { name: 'trust-bundle', mountPath: dirname(install.bundleFile), readOnly: true },
      { name: 'state', mountPath: install.stateDirectory },
    ],
  }
}

function baseOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
