/** Requests or limits of a container; Kubernetes quantities. */
export interface Quantities {
  readonly cpu?: string
  readonly memory?: string
}

/** What a Gateway's parametersRef may set of its waypoint; every field is optional there and has its default here. */
export interface WaypointParameters {
  /** Pods, while no autoscaler decides. */
  readonly replicas: number
  readonly autoscaling: { readonly minReplicas: number; readonly maxReplicas: number; readonly cpuPercent: number } | undefined
  readonly resources: { readonly requests: Quantities; readonly limits: Quantities }
  /** `json`: a line for each request on stdout; undefined: as the installation has it. */
  readonly accessLog: 'none' | 'json' | undefined
  /** Base URL of an OTLP/HTTP receiver; undefined: the installation's, if it has one. */
  readonly otlpEndpoint: string | undefined
  /** Seconds that requests in flight get when a pod ends. */
  readonly drainSeconds: number
  readonly nodeSelector: Readonly<Record<string, string>>
  readonly tolerations: readonly object[]
  readonly priorityClassName: string | undefined
  /** Image in place of the installation's. */
  readonly image: string | undefined
}

/** What must run for one active waypoint. */
export interface WaypointInfra {
  readonly namespace: string
  /** Of the Gateway, and of everything that is made for it. */
  readonly name: string
  /** The Gateway's uid; undefined: its namespace's label asks for it and the Gateway must be made first. */
  readonly gatewayUid: string | undefined
  /** From `spec.infrastructure`: go on every object that is made. */
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  /** Undefined: the Gateway's parameters can not be used, and what runs stays as it is until they are mended. */
  readonly parameters: WaypointParameters | undefined
}
