import type { KubernetesObject } from './meta.ts'

/** Source: core/v1 Namespace. Its labels say whether it is in the mesh. */
export interface Namespace extends KubernetesObject {
  readonly kind: 'Namespace'
}

export interface ServicePortSpec {
  readonly name?: string | undefined
  readonly port: number
  /** Default `TCP`. */
  readonly protocol?: 'TCP' | 'UDP' | 'SCTP' | undefined
  /** Number or name of the pod's port; default `port`. */
  readonly targetPort?: number | string | undefined
  readonly appProtocol?: string | undefined
  readonly nodePort?: number | undefined
}

/** Source: core/v1 Service. */
export interface Service extends KubernetesObject {
  readonly kind: 'Service'
  readonly spec?:
    | {
        /** Default `ClusterIP`. */
        readonly type?: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName' | undefined
        /** `None` for headless Services; often absent in files. */
        readonly clusterIP?: string | undefined
        readonly clusterIPs?: readonly string[] | undefined
        readonly externalName?: string | undefined
        readonly ports?: readonly ServicePortSpec[] | undefined
        readonly selector?: Readonly<Record<string, string>> | undefined
        readonly publishNotReadyAddresses?: boolean | undefined
        readonly ipFamilies?: readonly string[] | undefined
        readonly ipFamilyPolicy?: string | undefined
        /** Default `None`. */
        readonly sessionAffinity?: 'None' | 'ClientIP' | undefined
        readonly sessionAffinityConfig?: { readonly clientIP?: { readonly timeoutSeconds?: number | undefined } | undefined } | undefined
        /** Default `Cluster`. */
        readonly internalTrafficPolicy?: 'Cluster' | 'Local' | undefined
      }
    | undefined
}

/** Names an object of any kind and namespace. Source: core/v1 ObjectReference. */
export interface ObjectReference {
  readonly kind?: string | undefined
  readonly namespace?: string | undefined
  readonly name?: string | undefined
  readonly uid?: string | undefined
}

export interface EndpointSpec {
  readonly addresses: readonly string[]
  /** An absent `ready` means true; an absent `serving` means the same as `ready`; an absent `terminating` means false. */
  readonly conditions?:
    | {
        readonly ready?: boolean | undefined
        readonly serving?: boolean | undefined
        readonly terminating?: boolean | undefined
      }
    | undefined
  readonly hostname?: string | undefined
  readonly nodeName?: string | undefined
  readonly zone?: string | undefined
  /** For whom it is near. Source: discovery.k8s.io/v1 EndpointHints. */
  readonly hints?:
    | {
        readonly forZones?: readonly { readonly name: string }[] | undefined
        readonly forNodes?: readonly { readonly name: string }[] | undefined
      }
    | undefined
  readonly targetRef?: ObjectReference | undefined
}

export interface EndpointPortSpec {
  /** Equals the name of the Service's port; absent or '' for the nameless one. */
  readonly name?: string | undefined
  /** Absent: "all ports", which no Service gives. */
  readonly port?: number | undefined
  /** Default `TCP`. */
  readonly protocol?: 'TCP' | 'UDP' | 'SCTP' | undefined
  readonly appProtocol?: string | undefined
}

/** The label of an EndpointSlice that names its Service. */
export const serviceNameLabel = 'kubernetes.io/service-name'

/** Source: discovery.k8s.io/v1 EndpointSlice. */
export interface EndpointSlice extends KubernetesObject {
  readonly kind: 'EndpointSlice'
  readonly addressType: 'IPv4' | 'IPv6' | 'FQDN'
  readonly endpoints?: readonly EndpointSpec[] | undefined
  readonly ports?: readonly EndpointPortSpec[] | undefined
}

export interface ContainerPort {
  readonly name?: string | undefined
  readonly containerPort: number
  readonly protocol?: string | undefined
}

/** Source: core/v1 Pod. */
export interface Pod extends KubernetesObject {
  readonly kind: 'Pod'
  readonly spec?:
    | {
        /** Default `default`. */
        readonly serviceAccountName?: string | undefined
        readonly nodeName?: string | undefined
        readonly hostNetwork?: boolean | undefined
        readonly containers?: readonly { readonly name: string; readonly ports?: readonly ContainerPort[] | undefined }[] | undefined
      }
    | undefined
  readonly status?:
    | {
        readonly phase?: string | undefined
        readonly podIP?: string | undefined
        readonly podIPs?: readonly { readonly ip: string }[] | undefined
        readonly conditions?: readonly { readonly type: string; readonly status: string }[] | undefined
      }
    | undefined
}

/** Source: core/v1 Node. */
export interface Node extends KubernetesObject {
  readonly kind: 'Node'
  readonly status?: { readonly addresses?: readonly { readonly type: string; readonly address: string }[] | undefined } | undefined
}

/** Source: core/v1 ServiceAccount. */
export interface ServiceAccount extends KubernetesObject {
  readonly kind: 'ServiceAccount'
}

/** Source: core/v1 Secret. */
export interface Secret extends KubernetesObject {
  readonly kind: 'Secret'
  readonly type?: string | undefined
  /** Base64. */
  readonly data?: Readonly<Record<string, string>> | undefined
  readonly stringData?: Readonly<Record<string, string>> | undefined
}

/** Source: core/v1 ConfigMap. */
export interface ConfigMap extends KubernetesObject {
  readonly kind: 'ConfigMap'
  readonly data?: Readonly<Record<string, string>> | undefined
  /** Base64. */
  readonly binaryData?: Readonly<Record<string, string>> | undefined
}
