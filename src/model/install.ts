/**
 * Names that the parts of an installation must agree on: the chart, the controller, waypoint pods and the command line.
 * One place, because a typo in one of them shows as silence.
 */
export const install = {
  /** Where the controller runs, unless told otherwise. */
  namespace: 'waymark-system',
  /** The controller's Deployment, headless Service, service account, Lease. */
  controller: 'waymark-controller',
  /** The node agent's DaemonSet and service account. */
  agent: 'waymark-agent',
  /** The Secret with the mesh's CA, in the controller's namespace. */
  caSecret: 'waymark-ca',
  /** The ConfigMap with the mesh's roots, in the controller's namespace and in every namespace of the mesh; key `bundleKey`. */
  bundleConfigMap: 'waymark-trust-bundle',
  bundleKey: 'ca.crt',
  /** Audience of the projected tokens by which a pod proves its service account to the CA. */
  tokenAudience: 'waymark.dev/ca',
  /** Where a member's pod has its token and the trust bundle, and keeps its last configuration and certificate. */
  tokenFile: '/var/run/secrets/waymark/token',
  bundleFile: '/var/run/secrets/waymark-trust-bundle/ca.crt',
  stateDirectory: '/var/lib/waymark',
  /** Field manager of server-side apply. */
  fieldManager: 'waymark',
} as const

/** Label of everything that the controller makes, with the value `waymark`. Source: Kubernetes recommended labels. */
export const managedByLabel = 'app.kubernetes.io/managed-by'
export const managedBy = 'waymark'
/** Label that names the Gateway for which an object was made. Source: Gateway API GEP-1762. */
export const gatewayNameLabel = 'gateway.networking.k8s.io/gateway-name'
/** Label of the ConfigMaps that the controller reads: `parameters` (of a Gateway's parametersRef) or `trust-bundle`. */
export const configLabel = 'waymark.dev/config'

/** Annotation of a pod whose traffic its node's agent captures: listeners and rules are in place. */
export const capturedAnnotation = 'waymark.dev/captured'

/** Whether a pod's annotation says so. */
export function isMarkedCaptured({ metadata }: { readonly metadata: { readonly annotations?: Readonly<Record<string, string>> | undefined } }): boolean {
  return metadata.annotations?.[capturedAnnotation] === 'true'
}

/** The ports of every process. */
export const ports = { hbone: 15008, control: 15012, admin: 15000, metrics: 15020, ready: 15021, entry: 15080 } as const
