import { isAlias, isMap, isNode, isScalar, isSeq, type Document, type Node } from 'yaml'
import type { FieldPath } from '../../api/field.ts'

/** How deep maps and lists may be nested: manifests need about 20. */
const maxDepth = 100
/** How many values all aliases of a document may stand for together: what a "YAML bomb" has by the billion. */
const maxAliasedValues = 10_000

/** A document can't be turned into plain data. */
export class PlainError extends Error {
  /** Where in the text, in UTF-16 units. */
  readonly offset: number
  readonly advice: string

  constructor(message: string, offset: number, advice: string) {
    super(message)
    this.offset = offset
    this.advice = advice
  }
}

interface Anchor {
  readonly value: unknown
  /** Number of values in it, with those of its own aliases. */
  readonly weight: number
}

/**
 * A YAML document as plain data. Keys become own properties, whatever they are called; keys that stand twice, deep nesting
 * and aliases that multiply are refused. The library's own conversion and its check for double keys take quadratic or
 * exponential time on hostile input.
 * @throws PlainError
 */
export function plainOf(document: Document): unknown {
  const anchors = new Map<string, Anchor | undefined>()
  let visited = 0
  let aliased = 0

  const convert = (node: unknown, depth: number, offset: number): unknown => {
    if (!isNode(node)) return undefined
    const start = node.range?.[0] ?? offset
    if (depth > maxDepth) {
      throw new PlainError(`is nested deeper than ${maxDepth} levels`, start, 'flatten it: no Kubernetes object is that deep')
    }
    if (isAlias(node)) {
      const anchor = anchors.get(node.source)
      if (anchor === undefined) {
        const advice = `define &${node.source} first, outside of itself`
        throw new PlainError(`the alias *${node.source} has no anchor before it`, start, advice)
      }
      aliased += anchor.weight
      if (aliased > maxAliasedValues) {
        const advice = `write the values out; at most ${maxAliasedValues} may come from aliases`
        throw new PlainError('its aliases stand for too many values', start, advice)
      }
      return anchor.value
    }
    const before = visited++ + aliased
    const anchorName = isScalar(node) || isMap(node) || isSeq(node) ? node.anchor : undefined
    if (anchorName !== undefined) anchors.set(anchorName, undefined)
    const value = collection(node, depth, start)
    if (anchorName !== undefined) anchors.set(anchorName, { value, weight: visited + aliased - before })
    return value
  }

  const collection = (node: Node, depth: number, start: number): unknown => {
    if (isScalar(node)) return typeof node.value === 'bigint' ? Number(node.value) : node.value
    if (isSeq(node)) return node.items.map((item) => convert(item, depth + 1, start) ?? null)
    if (!isMap(node)) return undefined
    const entries = new Map<string, unknown>()
    for (const { key, value } of node.items) {
      const at = isNode(key) ? (key.range?.[0] ?? start) : start
      const name = keyOf(convert(key, depth + 1, start), at)
      if (entries.has(name)) throw new PlainError(`the key ${JSON.stringify(name)} stands twice in one map`, at, 'remove one of the two')
      entries.set(name, convert(value, depth + 1, at) ?? null)
    }
    return Object.fromEntries(entries)
  }

  return convert(document.contents, 0, 0)
}

/** Keys are text; numbers and booleans are taken as they are written, as Kubernetes does. */
function keyOf(key: unknown, offset: number): string {
  if (typeof key === 'string') return key
  if (typeof key === 'number' || typeof key === 'boolean') return String(key)
  throw new PlainError('a key is not text', offset, 'write keys as plain words')
}

/**
 * Where a field stands: its key, or the item of a list; what is missing is at its nearest parent.
 * @returns offset in the text, in UTF-16 units
 */
export function offsetOf(document: Document, path: FieldPath): number {
  let node: unknown = document.contents
  let offset = startOf(node) ?? 0
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === part)
      if (pair === undefined) return offset
      offset = startOf(pair.key) ?? offset
      node = pair.value
    } else if (isSeq(node) && typeof part === 'number') {
      node = node.items[part]
      offset = startOf(node) ?? offset
    } else {
      return offset
    }
  }
  return offset
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined
}
