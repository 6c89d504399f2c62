import { printable } from '../../kit/printable.ts'
import type { KubeClient } from '../../kube/client.ts'
import { KubeError } from '../../kube/errors.ts'
import type { PodName, PodPorts } from '../../kube/port-forward.ts'
import { ports } from '../../model/install.ts'
import { troubleOf, type PodStatus } from './trouble.ts'

/** The part of a Pod that tells how it is. Source: core/v1. */
interface PodObject {
  readonly metadata: { readonly namespace: string; readonly name: string; readonly labels?: Readonly<Record<string, string>>; readonly deletionTimestamp?: string; readonly creationTimestamp?: string }
  readonly spec?: { readonly nodeName?: string; readonly containers?: readonly { readonly image?: string; readonly args?: readonly string[] }[] }
  readonly status?: PodStatus
}

/** A pod of the mesh, and what it says of itself. */
export interface MeshPod {
  readonly namespace: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly ready: boolean
  readonly node: string | undefined
  readonly image: string
  readonly args: readonly string[]
  readonly restarts: number
  /** Why it is not ready, in words. */
  readonly trouble: string | undefined
  /** Undefined: could not be read. */
  readonly metrics: Metrics | undefined
}

/** Values of a process's metrics. */
export interface Metrics {
  /** The first value of that name; undefined: there is none. */
  readonly value: (name: string) => number | undefined
  /** A label of the first value of that name. */
  readonly label: (name: string, label: string) => string | undefined
  /** Sum of the values of that name, by a label. */
  readonly sums: (name: string, label: string) => Readonly<Record<string, number>>
  /** Every value of that name, with its labels. */
  readonly all: (name: string) => readonly { readonly label: (name: string) => string; readonly value: number }[]
}

/** Milliseconds until a pod's page must be there. */
const pageTimeoutMs = 5_000
/** How many pods are asked at a time. */
const parallel = 8

/** Something that could not be read, and what to do about it. */
export interface Note {
  readonly message: string
  readonly advice: string
}

/** What pods are asked by, and where what can not be read is noted. */
export interface Asking {
  readonly client: KubeClient
  readonly podPorts: PodPorts
  /** The same note only counts once. */
  readonly note: (note: Note) => void
}

/**
 * Lists pods that are not on their way out, and asks each what it says of itself.
 * @param path of the collection
 * @throws {KubeError} if the pods may not be listed
 */
export async function readPods(asking: Asking, path: string, labelSelector: string): Promise<readonly MeshPod[]> {
  const { items } = (await asking.client.get(path, { labelSelector })) as { readonly items: readonly PodObject[] }
  const present = items.filter(({ metadata, status }) => metadata.deletionTimestamp === undefined && status?.phase !== 'Succeeded' && status?.phase !== 'Failed')
  return inParallel(present.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1)), parallel, async (pod) => describePod(asking, pod))
}

function nameOf({ metadata }: PodObject): string {
  return `${metadata.namespace}/${metadata.name}`
}

async function describePod(asking: Asking, { metadata, spec, status = {} }: PodObject): Promise<MeshPod> {
  const ready = status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true
  const trouble = troubleOf(status)
  const runs = status.phase === 'Running' && trouble === undefined
  const [container] = spec?.containers ?? []
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    labels: metadata.labels ?? {},
    ready,
    node: spec?.nodeName,
    image: container?.image ?? '',
    args: container?.args ?? [],
    restarts: (status.containerStatuses ?? []).reduce((sum, { restartCount = 0 }) => sum + restartCount, 0),
    trouble: ready ? undefined : (trouble ?? (runs ? await pending(asking, metadata) : `its phase is ${printable(status.phase ?? 'Unknown')}`)),
    metrics: runs ? await readMetrics(asking, metadata) : undefined,
  }
}

/** What a running pod waits for, as its readiness page says. */
async function pending({ podPorts }: Asking, pod: PodName): Promise<string> {
  try {
    const { status, text } = await podPorts.get(pod, ports.ready, '/readyz', pageTimeoutMs)
    if (status === 503) return `it waits for ${printable(text.trim().split('\n').filter((line) => !line.startsWith('note: ')).join('; '))}`
    if (status === 200) return 'it has just become ready'
  } catch (error) {
    if (!(error instanceof KubeError)) throw error
  }
  return 'it runs and is not ready; see its log'
}

async function readMetrics(asking: Asking, pod: PodName): Promise<Metrics | undefined> {
  const text = await readPage(asking, pod, ports.metrics, '/metrics')
  return text === undefined ? undefined : parseMetrics(text)
}

/** A page of a pod; what stands in the way is noted. */
export async function readPage({ podPorts, note }: Asking, pod: PodName, port: number, path: string): Promise<string | undefined> {
  const log = `see kubectl -n ${pod.namespace} logs ${pod.name}`
  try {
    const { status, text } = await podPorts.get(pod, port, path, pageTimeoutMs)
    if (status === 200) return text
    note({ message: `pod ${pod.namespace}/${pod.name} answers ${status} for ${path} on port ${port}`, advice: log })
  } catch (error) {
    if (!(error instanceof KubeError)) throw error
    if (error.status === 403) note({ message: `what pods in namespace ${pod.namespace} say of themselves is not known: versions, ages, certificates, connections`, advice: 'ask for the rights to get and create pods/portforward there' })
    else note({ message: `pod ${pod.namespace}/${pod.name} does not tell of itself: ${printable(error.message)}`, advice: log })
  }
  return undefined
}

/** As the process says, else as its pod is labelled; undefined: not known. */
export function versionOf({ metrics, labels }: Pick<MeshPod, 'metrics' | 'labels'>): string | undefined {
  return metrics?.label('waymark_build_info', 'version') ?? labels['app.kubernetes.io/version']
}

/** Reads the Prometheus text format. */
export function parseMetrics(text: string): Metrics {
  const found = new Map<string, { readonly labels: string; readonly value: number }[]>()
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? []
    if (name === undefined) continue
    const list = found.get(name) ?? []
    list.push({ labels, value: Number(value) })
    found.set(name, list)
  }
  const label = (labels: string, name: string): string | undefined => labels.match(/[a-zA-Z_]\w*="(?:[^"\\]|\\.)*"/g)?.find((each) => each.startsWith(`${name}="`))?.slice(name.length + 2, -1)
  return {
    value: (name) => found.get(name)?.[0]?.value,
    label: (name, which) => label(found.get(name)?.[0]?.labels ?? '', which),
    all: (name) => (found.get(name) ?? []).map(({ labels, value }) => ({ value, label: (which) => label(labels, which) ?? '' })),
    sums: (name, which) => {
      const sums: Record<string, number> = {}
      for (const { labels, value } of found.get(name) ?? []) {
        const key = label(labels, which) ?? ''
        sums[key] = (sums[key] ?? 0) + value
      }
      return sums
    },
  }
}

/** Does `work` for each item, at most `limit` at a time; answers in the order of the items. */
export async function inParallel<T, R>(items: readonly T[], limit: number, work: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) {
      const item = items[at] as T
      results[at] = await work(item)
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
  return results
}
