import type { AccessLogLevel } from '../model/infra.ts'

/** What all waypoints of an installation have in common. */
export interface Installation {
  /** Where the controller runs. */
  readonly namespace: string
  readonly image: string
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never'
  /** Names of Secrets in the waypoint's namespace. */
  readonly imagePullSecrets: readonly string[]
  readonly trustDomain: string
  /** For waypoints whose parameters do not say. */
  readonly accessLog: AccessLogLevel
  /** For waypoints whose parameters do not say; undefined: they send no traces. */
  readonly otlpEndpoint?: string | undefined
}
