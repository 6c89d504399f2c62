import { isIP } from 'node:net'

/** A pod's sandbox, as the container runtime and its network plugin made it. */
export interface FoundPod {
  /** The sandbox's id at the runtime. A pod whose sandbox is made anew has another one with the same `uid`. */
  readonly id: string
  readonly uid: string
  readonly namespace: string
  readonly name: string
  /** Name of the network namespace's file below /run/netns. */
  readonly netns: string
  /** IP addresses, without prefix lengths, in the order that the plugin gave them. */
  readonly addresses: readonly string[]
}

export type Result =
  | { readonly kind: 'pod'; readonly pod: FoundPod }
  /** Half written: the rest follows. */
  | { readonly kind: 'partial' }
  /** Another link, another runtime's container, or something else; `why` in words. */
  | { readonly kind: 'other'; readonly why: string }

/** The link that Kubernetes knows of; others are of loopback and of further networks. */
const link = 'eth0'

/** Whether a file of the cache can be of a pod's main link: `<network>-<container id>-<link>`. */
export function isResultName(name: string): boolean {
  return name.endsWith(`-${link}`)
}

/**
 * Reads a file of the cache in which libcni keeps what plugins answered, `/var/lib/cni/results`. It is there before the first container of the pod starts.
 * Source: CNI's libcni/api.go (cacheAdd), CNI specification 1.1 "Success"; `K8S_POD_…` are set by containerd and CRI-O.
 */
export function parseResult(text: string): Result {
  let cached: unknown
  try {
    cached = JSON.parse(text)
  } catch {
    // It is not written in one piece.
    return { kind: 'partial' }
  }
  if (!isObject(cached)) return { kind: 'other', why: 'it is no object' }
  if (cached['kind'] !== undefined && cached['kind'] !== 'cniCacheV1') return { kind: 'other', why: 'it is of another kind than cniCacheV1' }
  if (cached['ifName'] !== undefined && cached['ifName'] !== link) return { kind: 'other', why: 'it is of another link' }
  const facts = argumentsOf(cached['cniArgs'])
  const uid = facts.get('K8S_POD_UID')
  const namespace = facts.get('K8S_POD_NAMESPACE')
  const name = facts.get('K8S_POD_NAME')
  if (namespace === undefined || name === undefined) return { kind: 'other', why: 'it is of no pod' }
  if (uid === undefined) return { kind: 'other', why: 'the runtime does not tell the pod\'s UID: containerd does since 1.5' }
  const result = isObject(cached['result']) ? cached['result'] : {}
  const netns = netnsOf(cached, result)
  if (netns === undefined) return { kind: 'other', why: 'it names no network namespace: the pod may run in a virtual machine' }
  const id = typeof cached['containerId'] === 'string' ? cached['containerId'] : netns
  return { kind: 'pod', pod: { id, uid, namespace, name, netns, addresses: addressesOf(result) } }
}

/** `cniArgs` are pairs; an older form is one text. */
function argumentsOf(given: unknown): ReadonlyMap<string, string> {
  const pairs = Array.isArray(given) ? given : []
  return new Map(pairs.flatMap((pair) => (Array.isArray(pair) && typeof pair[0] === 'string' && typeof pair[1] === 'string' && pair[1] !== '' ? [[pair[0], pair[1]]] : [])))
}

/** `netns` since libcni 1.2, before that the `sandbox` of the pod's own link. Both are paths on the node, through links that differ elsewhere. */
function netnsOf(cached: Readonly<Record<string, unknown>>, result: Readonly<Record<string, unknown>>): string | undefined {
  const links = Array.isArray(result['interfaces']) ? result['interfaces'].filter(isObject) : []
  const own = links.find((each) => each['name'] === link && typeof each['sandbox'] === 'string' && each['sandbox'] !== '') ?? links.find((each) => typeof each['sandbox'] === 'string' && each['sandbox'] !== '')
  const path = typeof cached['netns'] === 'string' && cached['netns'] !== '' ? cached['netns'] : own?.['sandbox']
  return typeof path === 'string' ? netnsName(path) : undefined
}

/** The name of a namespace's file, by its path on the node. @returns undefined if it is not below /run/netns */
export function netnsName(path: string): string | undefined {
  return /^(?:\/var)?\/run\/netns\/([^/]+)$/.exec(path)?.[1]
}

function addressesOf(result: Readonly<Record<string, unknown>>): readonly string[] {
  const given = Array.isArray(result['ips']) ? result['ips'].filter(isObject) : []
  return given.flatMap((each) => {
    const address = typeof each['address'] === 'string' ? (each['address'].split('/')[0] ?? '') : ''
    return isIP(address) === 0 ? [] : [address]
  })
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
