import type { Filter } from '../../src/model/route.ts'
import { compilePathChange } from './path-change.ts'
import type { FilterStep } from './step.ts'
import { unresolvedAnswer } from './unresolved.ts'

/** URLRewrite: the backend sees another Host, another path, or both. Source: HTTPURLRewriteFilter. */
export function compileRewrite(filter: Extract<Filter, { kind: 'rewrite' }>): FilterStep {
  const hostname = filter.hostname?.toLowerCase()
  const change = filter.path === undefined ? undefined : compilePathChange(filter.path)
  return {
    onRequest: (head, prefix) => {
      if (change !== undefined) {
        const changed = change(head, prefix)
        if (changed === undefined) return unresolvedAnswer()
        head.path = changed.path
        head.query = changed.query
      }
      if (hostname !== undefined) head.authority = hostname
      return undefined
    },
  }
}
