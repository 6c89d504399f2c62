import type { KubeObject } from '../kube/object.ts'
import { formatSpiffeId } from '../model/identity.ts'
import type { WaypointInfra, WaypointParameters } from '../model/infra.ts'
import { gatewayNameLabel, install, managedBy, managedByLabel, ports } from '../model/install.ts'
import type { Installation } from './installation.ts'
import { podTemplate } from './pod.ts'

/** What a waypoint needs to end beside its drain: it lingers five seconds before, and the rest is for what takes longer than it should. */
const besideDrainSeconds = 15

/** The Gateway that `waymark.dev/waypoint: auto` on a namespace asks for. From then on it is its owner's: it is made once and not changed. */
export function renderGateway(namespace: string, name: string): KubeObject {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { namespace, name, labels: { [managedByLabel]: managedBy } },
    spec: { gatewayClassName: 'waypoint', listeners: [{ name: 'mesh', port: ports.hbone, protocol: 'HBONE' }] },
  }
}

/**
 * Everything that runs for one waypoint, in the order in which it is to be made: ServiceAccount, Service, PodDisruptionBudget,
 * Deployment, and with an autoscaler that too. All of them have the Gateway's name and are owned by it.
 * @param replicas of the Deployment; `autoscaler`: it is the autoscaler's to say
 */
export function renderWaypoint(
  infra: WaypointInfra & { readonly parameters: WaypointParameters },
  installation: Installation,
  replicas: number | 'autoscaler' = infra.parameters.autoscaling?.minReplicas ?? infra.parameters.replicas,
): readonly KubeObject[] {
  const { namespace, name, gatewayUid, parameters } = infra
  const { autoscaling, drainSeconds } = parameters
  const selector = { [managedByLabel]: managedBy, [gatewayNameLabel]: name }
  // Ours come last: what selects pods must not be anybody's to change.
  const labels = { ...infra.labels, 'app.kubernetes.io/name': 'waymark-waypoint', 'app.kubernetes.io/component': 'waypoint', ...selector }
  const owner = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', name, uid: gatewayUid ?? '', controller: true, blockOwnerDeletion: true }
  const metadata = {
    namespace, name, labels,
    ...(Object.keys(infra.annotations).length === 0 ? {} : { annotations: infra.annotations }),
    ...(gatewayUid === undefined ? {} : { ownerReferences: [owner] }),
  }
  const deployment = {
    ...(replicas === 'autoscaler' ? {} : { replicas }),
    revisionHistoryLimit: 3,
    progressDeadlineSeconds: 300,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
    selector: { matchLabels: selector },
    template: podTemplate({
      name, installation, parameters, labels, selector,
      annotations: infra.annotations,
      args: waypointArgs(infra, installation),
      graceSeconds: drainSeconds + besideDrainSeconds,
    }),
  }
  const scaler = autoscaling === undefined ? [] : [{
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata,
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name },
      minReplicas: autoscaling.minReplicas,
      maxReplicas: autoscaling.maxReplicas,
      metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: autoscaling.cpuPercent } } }],
    },
  }]
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata, automountServiceAccountToken: false },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: {
        type: 'ClusterIP',
        ipFamilyPolicy: 'PreferDualStack',
        selector,
        ports: [{ name: 'mesh', port: ports.hbone, targetPort: 'hbone', protocol: 'TCP', appProtocol: 'waymark.dev/hbone' }],
      },
    },
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata,
      spec: { maxUnavailable: 1, unhealthyPodEvictionPolicy: 'AlwaysAllow', selector: { matchLabels: selector } },
    },
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec: deployment },
    ...scaler,
  ]
}

function waypointArgs({ namespace, name, parameters }: WaypointInfra & { readonly parameters: WaypointParameters }, installation: Installation): readonly string[] {
  const { trustDomain, accessLog } = installation
  const controller = { trustDomain, namespace: installation.namespace, serviceAccount: install.controller }
  return [
    'waypoint',
    '--namespace', namespace,
    '--name', name,
    '--pod', '$(POD_NAME)',
    '--trust-domain', trustDomain,
    '--controller', `${install.controller}.${installation.namespace}.svc:${ports.control}`,
    '--controller-id', formatSpiffeId(controller),
    '--access-log', parameters.accessLog ?? accessLog,
    '--drain', String(parameters.drainSeconds),
    // Only what was asked for: an image of another version may not know them.
    ...(parameters.workers === 1 ? [] : ['--workers', String(parameters.workers)]),
    ...(parameters.logLevel === undefined ? [] : ['--log-level', parameters.logLevel]),
  ]
}
