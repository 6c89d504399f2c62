import { compileConnectionTable } from '../../../waypoint/route/connections.ts'
import type { RouteRules, TcpRule, TlsRule } from '../../model/route.ts'
import { commonAnswer, ownEndpoints, reasonAnswer, ruleBackends } from './backends.ts'
import type { Case, Judgement } from './case.ts'
import type { ExplainedCandidate } from './explanation.ts'
import { judgeAtWaypoint } from './policies.ts'
import { explainedCandidate, routeName } from './request.ts'

type ConnectionRules = Extract<RouteRules, { readonly protocol: 'tls' | 'tcp' }>

/** Judges a connection whose bytes are not looked at, but for the server name of a TLS handshake. */
export function explainConnection(each: Case): Judgement {
  const { policies, answer } = judgeAtWaypoint(each.resolved.service.guard, each, undefined, undefined)
  const guarded = policies.length === 0 ? {} : { policies }
  return answer === undefined ? { ...explainRoutes(each), ...guarded } : { candidates: [], backends: [], ...guarded, answer }
}

function explainRoutes(each: Case): Judgement {
  const { config, probe, resolved, declared } = each
  const { service, table } = resolved
  if (table === undefined) {
    const own = ownEndpoints(service.self, config.endpointsOf(service.self)?.endpoints ?? [], probe)
    return { candidates: [], backends: [own], ...(own.answer === undefined ? {} : { answer: own.answer }) }
  }
  const { routes } = table.entry
  if (table.kind !== 'connection' || routes.protocol === 'http' || routes.protocol === 'grpc') return { candidates: [], backends: [] }
  // Only on a port read as TLS is the handshake looked into.
  const serverName = declared === 'tls' ? probe.serverName : undefined
  const rule = table.table.find(serverName)
  const candidates = candidatesOf(routes, serverName, rule?.id)
  if (rule === undefined) {
    const detail = serverName === undefined ? 'no rule for a connection without a server name' : `no rule for server name ${serverName}`
    return { candidates, backends: [], answer: reasonAnswer('no-route', detail, probe) }
  }
  const backends = ruleBackends(rule, () => [], each)
  const answer = rule.pickBackend() === undefined ? reasonAnswer('no-backend', '', probe) : commonAnswer(backends)
  return {
    candidates, backends,
    rule: { route: routeName(rule.id), rule: rule.id.rule, filters: [], changes: [] },
    ...(answer === undefined ? {} : { answer }),
  }
}

function candidatesOf(routes: ConnectionRules, serverName: string | undefined, won: object | undefined): readonly ExplainedCandidate[] {
  return routes.protocol === 'tcp'
    ? routes.rules.map((rule) => candidate(rule, 'every connection', rule.id === won, true, 'TCP has nothing to match: the oldest route\'s first rule serves every connection'))
    : routes.rules.map((rule) => {
        const fits = compileConnectionTable({ protocol: 'tls', rules: [rule] }).find(serverName) !== undefined
        const match = rule.hostnames.length === 0 ? 'every server name' : `server name ${rule.hostnames.join(' or ')}`
        const actual = serverName === undefined ? 'no server name' : `server name ${serverName}`
        const why = fits ? 'an exact name goes before a wildcard, the longer wildcard first, then the oldest route' : `wants ${match}, the connection has ${actual}`
        return candidate(rule, match, rule.id === won, fits, why)
      })
}

function candidate({ id }: TlsRule | TcpRule, match: string, won: boolean, fits: boolean, why: string): ExplainedCandidate {
  if (won) return explainedCandidate({ id, match, verdict: 'won', why: 'the first in order of precedence that fits' })
  return explainedCandidate({ id, match, verdict: fits ? 'matches, but ranks lower' : 'no match', why })
}
