import type { Filter } from '../../src/model/route.ts'
import type { CompiledFilters } from '../compiled.ts'
import { compileCors } from './cors.ts'
import { compileMirror } from './mirror.ts'
import { compileRedirect } from './redirect.ts'
import { compileRequestHeaders } from './request-headers.ts'
import { compileResponseHeaders } from './response-headers.ts'
import { compileRewrite } from './rewrite.ts'
import type { FilterStep } from './step.ts'
import { compileUnresolved } from './unresolved.ts'

const nothing: CompiledFilters = { onRequest: () => undefined, onResponse: () => {}, mirrors: [], empty: true }

/**
 * Compiles the filters of one rule or one backendRef. The request side runs in the order listed and stops at the first filter that
 * answers; the response side runs in the same order, on answers of the proxy itself too.
 * Source: HTTPRouteFilter, Gateway API v1.6.
 */
export function compileFilters(filters: readonly Filter[]): CompiledFilters {
  if (filters.length === 0) return nothing
  const steps = filters.map(compileFilter)
  const requests = steps.map((each) => each.onRequest).filter((each) => each !== undefined)
  const responses = steps.map((each) => each.onResponse).filter((each) => each !== undefined)
  return {
    onRequest: (head, prefix) => {
      for (const step of requests) {
        const answer = step(head, prefix)
        if (answer !== undefined) return answer
      }
      return undefined
    },
    onResponse: (responseHeaders, requestHeaders) => {
      for (const step of responses) step(responseHeaders, requestHeaders)
    },
    mirrors: steps.map((each) => each.mirror).filter((each) => each !== undefined),
    empty: false,
  }
}

function compileFilter(filter: Filter): FilterStep {
  switch (filter.kind) {
    case 'request-headers':
      return compileRequestHeaders(filter)
    case 'response-headers':
      return compileResponseHeaders(filter)
    case 'redirect':
      return compileRedirect(filter)
    case 'rewrite':
      return compileRewrite(filter)
    case 'mirror':
      return compileMirror(filter)
    case 'cors':
      return compileCors(filter)
    case 'unresolved':
      return compileUnresolved()
  }
}
