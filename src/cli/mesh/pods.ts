import { printable } from '../../kit/printable.ts'
import type { KubeClient } from '../../kube/client.ts'
import { isStatus, KubeError } from '../../kube/errors.ts'
import { ports } from '../../model/install.ts'

/** The part of a Pod that tells how it is. Source: core/v1. */
interface PodObject {
  readonly metadata: { readonly namespace: string; readonly name: string; readonly labels?: Readonly<Record<string, string>>; readonly deletionTimestamp?: string; readonly creationTimestamp?: string }
  readonly spec?: { readonly nodeName?: string; readonly containers?: readonly { readonly image?: string; readonly args?: readonly string[] }[] }
  readonly status?: {
    readonly phase?: string
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[]
    readonly containerStatuses?: readonly {
      readonly ready: boolean
      readonly restartCount?: number
      readonly state?: { readonly waiting?: { readonly reason?: string; readonly message?: string } }
      readonly lastState?: { readonly terminated?: { readonly exitCode?: number; readonly reason?: string } }
    }[]
  }
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
}

/** Milliseconds until a pod's page must be there. */
const pageTimeoutMs = 5_000
/** How many pods are asked at a time. */
const parallel = 8

/**
 * Lists pods that are not on their way out, and asks each what it says of itself.
 * @param path of the collection
 * @param note takes a line about what could not be read; the same line only once
 * @throws {KubeError} if the pods may not be listed
 */
export async function readPods(client: KubeClient, path: string, labelSelector: string, note: (line: string) => void): Promise<readonly MeshPod[]> {
  const { items } = (await client.get(path, { labelSelector })) as { readonly items: readonly PodObject[] }
  const present = items.filter(({ metadata, status }) => metadata.deletionTimestamp === undefined && status?.phase !== 'Succeeded' && status?.phase !== 'Failed')
  return inParallel(present.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1)), parallel, async (pod) => describePod(client, pod, note))
}

function nameOf({ metadata }: PodObject): string {
  return `${metadata.namespace}/${metadata.name}`
}

async function describePod(client: KubeClient, pod: PodObject, note: (line: string) => void): Promise<MeshPod> {
  const { metadata, spec, status } = pod
  const ready = status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true
  const runs = status?.phase === 'Running'
  const [container] = spec?.containers ?? []
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    labels: metadata.labels ?? {},
    ready,
    node: spec?.nodeName,
    image: container?.image ?? '',
    args: container?.args ?? [],
    restarts: (status?.containerStatuses ?? []).reduce((sum, { restartCount = 0 }) => sum + restartCount, 0),
    trouble: ready ? undefined : (troubleOf(pod) ?? (runs ? await pending(client, pod) : `its phase is ${printable(status?.phase ?? 'Unknown')}`)),
    metrics: runs ? await readMetrics(client, pod, note) : undefined,
  }
}

/** Why a pod's containers do not run; undefined: they run. */
function troubleOf({ status = {} }: PodObject): string | undefined {
  const scheduled = status.conditions?.find(({ type }) => type === 'PodScheduled')
  if (scheduled?.status === 'False') return `no node takes it: ${printable(scheduled.message ?? 'unknown')}`
  for (const { ready, state, lastState } of status.containerStatuses ?? []) {
    const { reason = '', message = '' } = state?.waiting ?? {}
    const ended = lastState?.terminated
    if (ended !== undefined && !ready) return `it ended with code ${ended.exitCode ?? '?'}${reason === '' ? '' : ` (${printable(reason)})`}`
    if (reason !== '') return printable(`${reason} ${message}`.trim())
  }
  return undefined
}

/** What a running pod waits for, as its readiness page says. */
async function pending(client: KubeClient, { metadata }: PodObject): Promise<string> {
  try {
    await readPage(client, metadata, ports.ready, '/readyz')
    return 'it has just become ready'
  } catch (error) {
    if (isStatus(error, 503)) return `it waits for ${printable(error.message.replace(/^GET \S+ *\d* */, '').replace(/^[^:]*: 503 /, '').replaceAll('\n', '; '))}`
    return 'it runs and is not ready; see its log'
  }
}

async function readMetrics(client: KubeClient, { metadata }: PodObject, note: (line: string) => void): Promise<Metrics | undefined> {
  try {
    return parseMetrics(await readPage(client, metadata, ports.metrics, '/metrics'))
  } catch (error) {
    if (isStatus(error, 403)) note(`versions, ages and certificates are not known: reading pods' metrics needs the right to get pods/proxy in namespace ${metadata.namespace}`)
    else note(`pod ${nameOf({ metadata })} does not give its metrics: ${error instanceof KubeError ? printable(error.message) : String(error)}`)
    return undefined
  }
}

/** A page of a pod by the API server's proxy. */
async function readPage(client: KubeClient, { namespace, name }: PodObject['metadata'], port: number, path: string): Promise<string> {
  const answer = await client.stream(`/api/v1/namespaces/${namespace}/pods/${name}:${port}/proxy${path}`, {}, AbortSignal.timeout(pageTimeoutMs))
  const chunks: Buffer[] = []
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
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
