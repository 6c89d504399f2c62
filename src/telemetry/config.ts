/** Whether, and as whom, this process sends traces; from the environment variables that every OpenTelemetry SDK reads. */
export interface TracingConfig {
  /** Base URL of an OTLP/HTTP receiver; spans go to `<endpoint>/v1/traces`. */
  readonly endpoint: string
  readonly serviceName: string
}

/**
 * @returns undefined if tracing is off
 * Source: OpenTelemetry "SDK environment variables" and "OTLP exporter configuration".
 */
export function tracingConfig(environment: NodeJS.ProcessEnv = process.env): TracingConfig | undefined {
  const endpoint = environment['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] ?? environment['OTEL_EXPORTER_OTLP_ENDPOINT']
  if (endpoint === undefined || endpoint === '' || environment['OTEL_SDK_DISABLED'] === 'true') return undefined
  return { endpoint, serviceName: environment['OTEL_SERVICE_NAME'] ?? 'waymark' }
}
