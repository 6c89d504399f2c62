import type { RouteRules } from '../../src/model/route.ts'
import type { CompiledRule, ConnectionTable } from '../compiled.ts'
import { compileRule } from './rule.ts'

/** The longest name that DNS has; a longer SNI is no name, and is only worth a rule for every SNI. */
const maxNameLength = 253

/**
 * Compiles the merged TLSRoutes or TCPRoutes of one level on one Service port. By SNI: exact before wildcard, the longest wildcard
 * first, then rules for every SNI, each in tie-break order; `*.example.com` takes any number of labels, but not `example.com`.
 * TCP has nothing to match: the first rule serves every connection.
 * Source: TLSRoute "hostnames", Gateway API v1.6.
 */
export function compileConnectionTable(routes: Extract<RouteRules, { protocol: 'tls' | 'tcp' }>): ConnectionTable {
  if (routes.protocol === 'tcp') {
    const first = routes.rules[0] === undefined ? undefined : compileRule(routes.rules[0])
    return { find: () => first }
  }
  const exact = new Map<string, CompiledRule>()
  /** By what follows the `*`, with its dot. */
  const wildcards = new Map<string, CompiledRule>()
  let every: CompiledRule | undefined
  for (const rule of routes.rules) {
    const compiled = compileRule(rule)
    if (rule.hostnames.length === 0) every ??= compiled
    for (const hostname of rule.hostnames.map((each) => each.toLowerCase())) {
      const [names, name] = hostname.startsWith('*.') ? [wildcards, hostname.slice(1)] : [exact, hostname]
      if (!names.has(name)) names.set(name, compiled)
    }
  }
  return {
    find: (serverName) => {
      if (serverName === undefined || serverName.length > maxNameLength) return every
      const found = exact.get(serverName)
      if (found !== undefined || wildcards.size === 0) return found ?? every
      for (let at = serverName.indexOf('.', 1); at !== -1; at = serverName.indexOf('.', at + 1)) {
        const wildcard = wildcards.get(serverName.slice(at))
        if (wildcard !== undefined) return wildcard
      }
      return every
    },
  }
}
