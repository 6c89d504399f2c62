import { isDeepStrictEqual } from 'node:util'
import { serviceKey, type EntryKey, type RouteTableEntry, type ServiceEntry, type ServicePort } from '../../src/model/entries.ts'
import type { PolicyEntry } from '../../src/model/policy.ts'
import type { RuleId } from '../../src/model/route.ts'
import type { Snapshot } from '../../src/model/snapshot.ts'
import { compilePolicies, type GuardingPolicy, type Judge, type Verdict } from '../../src/policy/compile.ts'

/** What guards one Service port at this waypoint. */
export interface CompiledGuard {
  /** Judges what no guarded route serves. */
  readonly service: Judge
  /** Judges what a route serves, by the Service's policies and the route's; undefined: no route is guarded. */
  readonly route: ((rule: RuleId | undefined) => Judge) | undefined
  /** The Service's port and those of its endpoints. */
  readonly ports: readonly number[]
  readonly made: Ingredients
}

/** What a guard was made of: with the same ones it stays the same object over reloads. */
interface Ingredients {
  readonly policies: readonly EntryKey[]
  readonly partial: readonly EntryKey[]
  readonly routes: NonNullable<RouteTableEntry['guards']>
  readonly ports: readonly number[]
  readonly entries: ReadonlyMap<EntryKey, PolicyEntry | undefined>
}

/** Lets nobody pass: a policy is named that is not there. */
function closedJudge(key: EntryKey): Judge {
  const verdict: Verdict = { allowed: false, policy: '', reason: `${key} is not known`, audit: [] }
  return { judge: () => verdict, explain: () => [] }
}

/**
 * Compiles what guards a Service port.
 * @param own whether the Service is of the waypoint's namespace: only those are judged by the Service's own policies
 * @param table the routes that apply there
 * @param endpointPorts of its endpoints
 * @returns undefined if nothing does
 */
export function compileGuard(
  snapshot: Snapshot,
  service: ServiceEntry,
  port: ServicePort,
  own: boolean,
  table: RouteTableEntry | undefined,
  endpointPorts: readonly number[],
  before: CompiledGuard | undefined,
): CompiledGuard | undefined {
  const { policies, partial = [] } = (own ? service.guard : undefined) ?? { policies: [] }
  const routes = table?.guards ?? []
  const keys = [...policies, ...partial, ...routes.flatMap((each) => each.policies)]
  if (keys.length === 0) return undefined
  const entries = new Map(keys.map((key) => {
    const entry = snapshot.get(key)
    return [key, entry?.kind === 'policy' ? entry : undefined]
  }))
  const made: Ingredients = { policies, partial, routes, ports: [...new Set([port.port, ...endpointPorts])].sort((a, b) => a - b), entries }
  if (before !== undefined && sameIngredients(before.made, made)) return before
  const whole = [...policies.map((key) => ({ key })), ...partial.map((key) => ({ key, scope: 'partial' as const }))]
  const service_ = judgeOf(entries, whole)
  return { service: service_, route: routes.length === 0 ? undefined : routeJudges(made, whole, service_), ports: made.ports, made }
}

function routeJudges({ routes, entries }: Ingredients, whole: readonly Named[], service: Judge): (rule: RuleId | undefined) => Judge {
  const judges = new Map(routes.map(({ route, policies }) => [route, judgeOf(entries, [...whole, ...policies.map((key) => ({ key }))])]))
  // A rule's id is one object for as long as its table: it is looked up by name once.
  const known = new WeakMap<RuleId, Judge>()
  return (rule) => {
    if (rule === undefined) return service
    let found = known.get(rule)
    if (found === undefined) known.set(rule, (found = judges.get(`${rule.routeKind}/${rule.name}`) ?? service))
    return found
  }
}

interface Named {
  readonly key: EntryKey
  readonly scope?: 'partial'
}

function judgeOf(entries: Ingredients['entries'], named: readonly Named[]): Judge {
  const missing = named.find(({ key }) => entries.get(key) === undefined)
  if (missing !== undefined) return closedJudge(missing.key)
  const policies = named.flatMap(({ key, ...scope }): readonly GuardingPolicy[] => {
    const entry = entries.get(key)
    return entry === undefined ? [] : [{ entry, ...scope }]
  })
  return compilePolicies(policies)
}

function sameIngredients(a: Ingredients, b: Ingredients): boolean {
  return (
    isDeepStrictEqual([a.policies, a.partial, a.routes, a.ports], [b.policies, b.partial, b.routes, b.ports]) &&
    [...b.entries].every(([key, entry]) => a.entries.get(key) === entry || isDeepStrictEqual(a.entries.get(key), entry))
  )
}

/** Key of the Service of a backend. */
export function targetKey(target: { readonly namespace: string; readonly name: string }): EntryKey {
  return serviceKey(target.namespace, target.name)
}
