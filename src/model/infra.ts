/** Requests or limits of a container; Kubernetes quantities. */
export interface Quantities {
  readonly cpu?: string
  readonly memory?: string
}

/** What a waypoint writes about requests. `errors`: only of those that the mesh answered itself, or that ended with a status from 500. */
export type AccessLogLevel = (typeof accessLogLevels)[number]

export const accessLogLevels = ['none', 'errors', 'json'] as const

/** What a process says of itself. `error`: only what is wrong; `info`: also that it begins and ends; `debug`: also each configuration, certificate and refused peer. */
export type LogLevel = (typeof logLevels)[number]

export const logLevels = ['error', 'info', 'debug'] as const

/** Most threads that serve in one pod. */
export const mostWorkers = 16

/** What a Gateway's parametersRef may set of its waypoint; every field is optional there and has its default here. */
export interface WaypointParameters {
  /** Pods, while no autoscaler decides. */
  readonly replicas: number
  readonly autoscaling: { readonly minReplicas: number; readonly maxReplicas: number; readonly cpuPercent: number } | undefined
  readonly resources: { readonly requests: Quantities; readonly limits: Quantities }
  /** Threads that serve, in each pod. */
  readonly workers: number
  /** Undefined: as the installation has it. */
  readonly accessLog: AccessLogLevel | undefined
  /** Undefined: the program's own default, `info`. */
  readonly logLevel: LogLevel | undefined
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
