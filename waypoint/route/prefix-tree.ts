import type { RequestHead } from '../compiled.ts'
import { createBucket, type Bucket, type TableEntry } from './bucket.ts'

interface Node {
  readonly parent: Node | undefined
  readonly children: Map<string, Node>
  readonly entries: TableEntry[]
  bucket: Bucket | undefined
}

/**
 * Prepares a search by path prefix: a tree of segments is walked down as far as the path is known, then up, so that the longest
 * prefix is tried first. The walk ends at the first unknown segment: a path of ten thousand segments costs no more than a short one.
 * @param entries by position, all with a prefix
 */
export function createPrefixTree(entries: readonly TableEntry[]): Bucket {
  const root = createNode(undefined)
  const nodes = [root]
  for (const entry of entries) {
    if (entry.match.pathKey.kind !== 'prefix') continue
    let node = root
    for (const segment of entry.match.pathKey.segments) {
      let child = node.children.get(segment)
      if (child === undefined) {
        child = createNode(node)
        node.children.set(segment, child)
        nodes.push(child)
      }
      node = child
    }
    node.entries.push(entry)
  }
  for (const node of nodes) if (node.entries.length > 0) node.bucket = createBucket(node.entries)
  return (head) => findUp(deepest(root, head.path), head)
}

function createNode(parent: Node | undefined): Node {
  return { parent, children: new Map(), entries: [], bucket: undefined }
}

function deepest(root: Node, path: string): Node {
  let node = root
  for (let from = 1; from < path.length && node.children.size > 0; ) {
    const slash = path.indexOf('/', from)
    const end = slash === -1 ? path.length : slash
    const child = node.children.get(path.slice(from, end))
    if (child === undefined) break
    node = child
    from = end + 1
  }
  return node
}

function findUp(from: Node, head: RequestHead): TableEntry | undefined {
  for (let node: Node | undefined = from; node !== undefined; node = node.parent) {
    const found = node.bucket?.(head)
    if (found !== undefined) return found
  }
  return undefined
}
