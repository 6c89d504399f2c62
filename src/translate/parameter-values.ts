import { accessLogLevels, logLevels, mostWorkers } from '../model/infra.ts'

/** A toleration as a pod's spec has it. Source: core/v1 Toleration. */
export interface Toleration {
  readonly key?: string
  readonly operator: 'Exists' | 'Equal'
  readonly value?: string
  readonly effect?: string
  readonly tolerationSeconds?: number
}

/** Source: Kubernetes resource.Quantity, positive ones. */
const quantityShape = /^(?=.*[1-9])(\d{1,18}|\d{0,18}\.\d{1,18})([numkMGTPE]|[KMGTPE]i|e\d{1,2})?$/
const nameShape = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/
const imageShape = /^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,1000}$/
const labelKeyShape = /^([a-z0-9][-a-z0-9.]{0,251}\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/
const labelValueShape = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/
const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute']

/** Reads the value of each key; undefined if it can not be used. */
export const readers = {
  replicas: wholeNumber(1, 100),
  maxReplicas: wholeNumber(1, 1000),
  minReplicas: wholeNumber(1, 1000),
  targetCPU: wholeNumber(1, 1000),
  cpuRequest: shaped(quantityShape),
  memoryRequest: shaped(quantityShape),
  cpuLimit: (text: string): string | undefined => (text === 'none' ? text : shaped(quantityShape)(text)),
  memoryLimit: (text: string): string | undefined => (text === 'none' ? text : shaped(quantityShape)(text)),
  workers: wholeNumber(1, mostWorkers),
  accessLog: oneOf(accessLogLevels),
  logLevel: oneOf(logLevels),
  otlpEndpoint: endpoint,
  drainSeconds: wholeNumber(1, 3600),
  nodeSelector: labels,
  tolerations,
  priorityClassName: shaped(nameShape),
  image: shaped(imageShape),
} as const

function wholeNumber(least: number, most: number): (text: string) => number | undefined {
  return (text) => {
    const value = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN
    return value >= least && value <= most ? value : undefined
  }
}

function oneOf<T extends string>(values: readonly T[]): (text: string) => T | undefined {
  return (text) => values.find((each) => each === text)
}

function shaped(shape: RegExp): (text: string) => string | undefined {
  return (text) => (shape.test(text) ? text : undefined)
}

function endpoint(text: string): string | undefined {
  const url = /\s/.test(text) ? null : URL.parse(text)
  return url !== null && (url.protocol === 'http:' || url.protocol === 'https:') && url.username === '' && url.hash === '' ? text : undefined
}

/** `{"a":"b"}` or `a=b,c=d`. */
function labels(text: string): Readonly<Record<string, string>> | undefined {
  const pairs: [string, unknown][] = text.startsWith('{') ? Object.entries(record(parseJson(text)) ?? { '': 0 }) : split(text).map((each) => cut(each, '='))
  const good = pairs.every(([key, value]) => labelKeyShape.test(key) && typeof value === 'string' && labelValueShape.test(value))
  return good ? (Object.fromEntries(pairs) as Record<string, string>) : undefined
}

/** A JSON list of tolerations, or taints as kubectl writes them: `key=value:effect`, `key:effect`. */
function tolerations(text: string): readonly Toleration[] | undefined {
  const listed: readonly unknown[] | undefined = text.startsWith('[') ? array(parseJson(text)) : split(text).map(taint)
  const read = listed?.map(toleration)
  return read === undefined || read.includes(undefined) ? undefined : read.filter((each) => each !== undefined)
}

function taint(text: string): object {
  const [taintKey, effect = ''] = cut(text, ':')
  const [key, value] = cut(taintKey, '=')
  return value === undefined ? { key, operator: 'Exists', effect } : { key, operator: 'Equal', value, effect }
}

function toleration(given: unknown): Toleration | undefined {
  const fields = record(given)
  if (fields === undefined) return undefined
  const { key, operator = 'Equal', value, effect, tolerationSeconds, ...others } = fields
  if (Object.keys(others).length > 0 || (operator !== 'Equal' && operator !== 'Exists')) return undefined
  if (key === undefined ? operator !== 'Exists' : typeof key !== 'string' || !labelKeyShape.test(key)) return undefined
  if (value !== undefined && (typeof value !== 'string' || !labelValueShape.test(value) || operator === 'Exists')) return undefined
  if (effect !== undefined && (typeof effect !== 'string' || !effects.includes(effect))) return undefined
  if (tolerationSeconds !== undefined && !(typeof tolerationSeconds === 'number' && Number.isInteger(tolerationSeconds))) return undefined
  return {
    ...(typeof key === 'string' ? { key } : {}),
    operator,
    ...(value === undefined ? {} : { value }),
    ...(effect === undefined ? {} : { effect }),
    ...(tolerationSeconds === undefined ? {} : { tolerationSeconds }),
  }
}

/** At the first separator; without one there is no second part. */
function cut(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

function split(text: string): string[] {
  return text.split(',').map((each) => each.trim()).filter((each) => each !== '')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
}

function array(value: unknown): readonly unknown[] | undefined {
  return Array.isArray(value) ? (value as readonly unknown[]) : undefined
}
