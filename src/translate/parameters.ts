import { suggest } from '../api/suggest.ts'
import { mostWorkers, type WaypointParameters } from '../model/infra.ts'
import { compareText } from './order.ts'
import { readers } from './parameter-values.ts'

/** The parameters of a waypoint whose Gateway sets none. */
export const defaultParameters: WaypointParameters = {
  replicas: 2,
  autoscaling: undefined,
  // A waypoint needs less than 110 MiB of memory with a usual configuration; the rest is for bodies that are kept for retries.
  resources: { requests: { cpu: '100m', memory: '96Mi' }, limits: { memory: '512Mi' } },
  workers: 1,
  accessLog: undefined,
  logLevel: undefined,
  otlpEndpoint: undefined,
  drainSeconds: 30,
  nodeSelector: {},
  tolerations: [],
  priorityClassName: undefined,
  image: undefined,
}

/** A key of a parameters ConfigMap. */
export interface ParameterKey {
  readonly key: string
  /** What a good value is, as the end of "must be …". */
  readonly expected: string
  /** What it does, and its default. */
  readonly effect: string
}

/** Every key that a parameters ConfigMap may have; the docs list the same ones. */
export const parameterKeys = [
  { key: 'replicas', expected: 'a whole number from 1 to 100', effect: 'pods, while maxReplicas is not set; default 2' },
  { key: 'maxReplicas', expected: 'a whole number from 1 to 1000', effect: 'turns the autoscaler on: the most pods that it makes' },
  { key: 'minReplicas', expected: 'a whole number from 1 to 1000', effect: 'the fewest pods that the autoscaler leaves; default: replicas' },
  { key: 'targetCPU', expected: 'a whole number from 1 to 1000', effect: 'percent of the requested CPU at which the autoscaler adds pods; default 70' },
  { key: 'cpuRequest', expected: 'a quantity such as 100m', effect: 'CPU that each pod requests; default 100m' },
  { key: 'memoryRequest', expected: 'a quantity such as 96Mi', effect: 'memory that each pod requests; default 96Mi' },
  { key: 'cpuLimit', expected: 'a quantity such as 2, or none', effect: 'most CPU of each pod; default none' },
  { key: 'memoryLimit', expected: 'a quantity such as 512Mi, or none', effect: 'most memory of each pod; default 512Mi' },
  { key: 'workers', expected: `a whole number from 1 to ${mostWorkers}`, effect: 'threads that serve in each pod, at most one for each core that it may use; default 1' },
  { key: 'accessLog', expected: 'none, errors or json', effect: 'json: a line for each request on stdout; errors: only for those that failed; default the installation\'s' },
  { key: 'logLevel', expected: 'error, info or debug', effect: 'what the process says of itself on stderr: only what is wrong, also that it begins and ends, or also each configuration, certificate and refused peer; default info' },
  { key: 'otlpEndpoint', expected: 'an http or https URL such as http://collector.observability:4318', effect: 'base URL of an OTLP/HTTP receiver of traces; default the installation\'s' },
  { key: 'drainSeconds', expected: 'a whole number from 1 to 3600', effect: 'seconds that requests in flight get when a pod ends; default 30' },
  { key: 'nodeSelector', expected: 'key=value pairs joined by commas, or a JSON object of strings', effect: 'nodes that may run the pods; default any' },
  { key: 'tolerations', expected: 'key=value:effect or key:effect joined by commas, or a JSON list', effect: 'taints that the pods tolerate; default none' },
  { key: 'priorityClassName', expected: 'the name of a PriorityClass', effect: 'priority of the pods; default the cluster\'s' },
  { key: 'image', expected: 'an image reference without spaces', effect: 'image in place of the installation\'s' },
] as const satisfies readonly ParameterKey[]

/** What a ConfigMap makes of the parameters. */
export interface ReadParameters {
  readonly parameters: WaypointParameters
  /** A sentence for each value that can not be used; then none of the parameters may be. */
  readonly faults: readonly string[]
  /** Keys that mean nothing, and values that have no effect. */
  readonly warnings: readonly { readonly key: string; readonly message: string; readonly advice: string }[]
}

/** Reads the `data` of a parameters ConfigMap; what is absent has its default. */
export function readParameters(data: Readonly<Record<string, string>>): ReadParameters {
  const faults: string[] = []
  const warnings: ReadParameters['warnings'][number][] = []
  const read = <K extends keyof typeof readers>(key: K): ReturnType<(typeof readers)[K]> => {
    const text: unknown = Object.hasOwn(data, key) ? data[key] : undefined
    if (text === undefined) return undefined as ReturnType<(typeof readers)[K]>
    const value = typeof text === 'string' ? readers[key](text.trim()) : undefined
    if (value === undefined) faults.push(`${key} is ${JSON.stringify(text).slice(0, 100)} and must be ${expectedOf(key)}`)
    return value as ReturnType<(typeof readers)[K]>
  }
  const known = parameterKeys.map(({ key }) => key)
  for (const key of Object.keys(data).sort(compareText)) {
    if (known.some((each) => each === key)) continue
    const near = suggest(key, known)
    const advice = near === undefined ? `remove it; the keys are ${known.join(', ')}` : `did you mean ${near}?`
    warnings.push({ key, message: `${key} is no parameter of a waypoint and has no effect`, advice })
  }

  const replicas = read('replicas') ?? defaultParameters.replicas
  const maxReplicas = read('maxReplicas')
  const minReplicas = read('minReplicas')
  const cpuPercent = read('targetCPU')
  if (maxReplicas === undefined && !Object.hasOwn(data, 'maxReplicas')) {
    for (const key of ['minReplicas', 'targetCPU']) {
      if (!Object.hasOwn(data, key)) continue
      warnings.push({ key, message: `${key} has no effect while no autoscaler runs`, advice: 'set maxReplicas to turn it on' })
    }
  }
  const least = minReplicas ?? Math.min(replicas, maxReplicas ?? replicas)
  if (maxReplicas !== undefined && least > maxReplicas) faults.push(`minReplicas is ${least} and must be at most maxReplicas, which is ${maxReplicas}`)
  const { requests, limits } = defaultParameters.resources
  const cpuLimit = read('cpuLimit')
  const memoryLimit = read('memoryLimit') ?? limits.memory
  const parameters: WaypointParameters = {
    replicas,
    autoscaling: maxReplicas === undefined ? undefined : { minReplicas: least, maxReplicas, cpuPercent: cpuPercent ?? 70 },
    resources: {
      requests: { cpu: read('cpuRequest') ?? requests.cpu ?? '', memory: read('memoryRequest') ?? requests.memory ?? '' },
      limits: {
        ...(cpuLimit === undefined || cpuLimit === 'none' ? {} : { cpu: cpuLimit }),
        ...(memoryLimit === undefined || memoryLimit === 'none' ? {} : { memory: memoryLimit }),
      },
    },
    workers: read('workers') ?? defaultParameters.workers,
    accessLog: read('accessLog'),
    logLevel: read('logLevel'),
    otlpEndpoint: read('otlpEndpoint'),
    drainSeconds: read('drainSeconds') ?? defaultParameters.drainSeconds,
    nodeSelector: read('nodeSelector') ?? {},
    tolerations: read('tolerations') ?? [],
    priorityClassName: read('priorityClassName'),
    image: read('image'),
  }
  return { parameters, faults, warnings }
}

function expectedOf(key: string): string {
  return parameterKeys.find((each) => each.key === key)?.expected ?? ''
}
