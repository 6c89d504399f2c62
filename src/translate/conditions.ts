import type { Condition } from '../model/status.ts'

/** Condition types that are ours: Gateway API asks for a domain prefix. */
export const ourConditions = {
  /** On a route's parent: `True` once every ready replica of the waypoint that serves it holds it. */
  programmed: 'waymark.dev/Programmed',
  /** On a producer route's parent, only while `False`: callers of the namespaces in the message use consumer routes in its place. */
  appliesToAllNamespaces: 'waymark.dev/AppliesToAllNamespaces',
} as const

/** A condition that holds. */
export function holds(type: string, reason: string, message: string, observedGeneration: number): Condition {
  return { type, status: 'True', reason, message: cut(message), observedGeneration }
}

/** A condition that does not hold. */
export function fails(type: string, reason: string, message: string, observedGeneration: number): Condition {
  return { type, status: 'False', reason, message: cut(message), observedGeneration }
}

/** A condition of which nothing is known here. */
export function unknown(type: string, reason: string, message: string, observedGeneration: number): Condition {
  return { type, status: 'Unknown', reason, message, observedGeneration }
}

/** Kubernetes refuses condition messages of more than 32768 characters; long before that nobody reads them. */
const mostSentences = 8
const mostCharacters = 4096

function cut(message: string): string {
  return message.length <= mostCharacters ? message : `${message.slice(0, mostCharacters - 1)}…`
}

/** Joins sentences to one message, the first ones in full and the number of the others. */
export function sentences(parts: readonly string[], separator = '; '): string {
  const unique = [...new Set(parts)]
  const shown = unique.slice(0, mostSentences).join(separator)
  return unique.length > mostSentences ? `${shown}${separator}and ${unique.length - mostSentences} more` : shown
}
