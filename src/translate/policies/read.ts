import { show } from '../../api/field.ts'
import { namespaceOf } from '../../api/meta.ts'
import type { AuthorizationPolicy, AuthorizationRuleSpec, HeaderSpec, OperationSpec, PathSpec, SourceSpec } from '../../api/policies.ts'
import { policyKey, type EntryKey } from '../../model/entries.ts'
import type { PolicyEntry, PolicyOperation, PolicyPath, PolicyRule, PolicySource } from '../../model/policy.ts'
import type { NamedMatch } from '../../model/route.ts'
import { cidrProblem } from '../../policy/cidr.ts'
import { needsRequests } from '../../policy/compile.ts'
import { sentences } from '../conditions.ts'
import { checkPattern, patternBudget, type PatternBudget } from '../rules.ts'
import { faultOf } from '../screen.ts'

/** An AuthorizationPolicy, read once. */
export interface ReadPolicy {
  readonly object: AuthorizationPolicy
  readonly key: EntryKey
  readonly entry: PolicyEntry
  /** Whether only a waypoint can judge some of it. */
  readonly http: boolean
  /** Why parts of it can not be read; such a rule allows nobody, or denies everybody. */
  readonly faults: readonly string[]
  /** With a selector: rules that speak of what pods do not read. */
  readonly httpOnPods: readonly string[]
}

interface Draft {
  readonly faults: string[]
  readonly patterns: PatternBudget
}

/** Reads a policy. What can not be read of it is never left out: it counts against callers. */
export function readPolicy(object: AuthorizationPolicy): ReadPolicy {
  const namespace = namespaceOf(object)
  const { name } = object.metadata
  const base = { object, key: policyKey(namespace, name) }
  const entryOf = (action: PolicyEntry['action'], rules: readonly PolicyRule[]): PolicyEntry => ({ kind: 'policy', namespace, name, action, rules })
  const unreadable = faultOf(object)
  // Nobody knows whom it would have let.
  if (unreadable !== undefined) return { ...base, entry: entryOf('deny', [{}]), http: false, faults: [`it can not be read: ${unreadable}; everybody is denied`], httpOnPods: [] }

  const { action = 'Allow', rules = [], selector } = object.spec
  const faults: string[] = []
  const httpOnPods: string[] = []
  const patterns = patternBudget()
  const read = rules.map((spec, at): PolicyRule => {
    const draft: Draft = { faults: [], patterns }
    const rule = ruleOf(draft, namespace, spec)
    if (draft.faults.length > 0) {
      faults.push(`rule ${at}: ${sentences(draft.faults, ', ')}`)
      return { broken: true }
    }
    if (selector === undefined || !needsRequests({ rules: [rule] })) return rule
    httpOnPods.push(`rule ${at}`)
    return action === 'Allow' ? { broken: true } : withoutHttp(rule)
  })
  const entry = entryOf(action === 'Deny' ? 'deny' : action === 'Audit' ? 'audit' : 'allow', read)
  return { ...base, entry, http: needsRequests(entry), faults, httpOnPods }
}

/** What pods can judge of a rule that denies: it denies more. */
function withoutHttp({ from, to }: PolicyRule): PolicyRule {
  const operations = to?.map(({ ports, notPorts }) => ({ ...(ports === undefined ? {} : { ports }), ...(notPorts === undefined ? {} : { notPorts }) }))
  return { ...(from === undefined ? {} : { from }), ...(operations === undefined ? {} : { to: operations }) }
}

function ruleOf(draft: Draft, namespace: string, { from, to }: AuthorizationRuleSpec): PolicyRule {
  return {
    ...(from === undefined ? {} : { from: from.map((source) => sourceOf(draft, namespace, source)) }),
    ...(to === undefined ? {} : { to: to.map((operation) => operationOf(draft, operation)) }),
  }
}

function sourceOf(draft: Draft, namespace: string, spec: SourceSpec): PolicySource {
  const accounts = (names: readonly string[] | undefined): readonly string[] | undefined => names?.map((name) => (name.includes('/') ? name : `${namespace}/${name}`))
  for (const cidr of [...(spec.cidrs ?? []), ...(spec.notCidrs ?? [])]) {
    const wrong = cidrProblem(cidr)
    if (wrong !== undefined) draft.faults.push(`${show(cidr)} ${wrong}`)
  }
  return defined({
    namespaces: spec.namespaces, notNamespaces: spec.notNamespaces,
    serviceAccounts: accounts(spec.serviceAccounts), notServiceAccounts: accounts(spec.notServiceAccounts),
    spiffeIds: spec.spiffeIds, notSpiffeIds: spec.notSpiffeIds, cidrs: spec.cidrs, notCidrs: spec.notCidrs,
  })
}

function operationOf(draft: Draft, spec: OperationSpec): PolicyOperation {
  const { ports, notPorts, methods, notMethods, grpc, notGrpc } = spec
  const calls = (list: OperationSpec['grpc']): PolicyOperation['grpc'] => list?.map(({ service, method }) => defined({ service, method }))
  return defined({
    ports, notPorts, methods, notMethods,
    paths: spec.paths?.map((path) => pathOf(draft, path)), notPaths: spec.notPaths?.map((path) => pathOf(draft, path)),
    hosts: spec.hosts?.map((host) => host.toLowerCase()), notHosts: spec.notHosts?.map((host) => host.toLowerCase()),
    headers: spec.headers?.map((header) => headerOf(draft, header)), notHeaders: spec.notHeaders?.map((header) => headerOf(draft, header)),
    grpc: calls(grpc), notGrpc: calls(notGrpc),
  })
}

/** What no path in normal form has; a rule of it would mean nothing, and people would think that it does. */
const neverNormal = /[?#;\\\s]|\/\/|\/\.{1,2}(?:\/|$)|%(?:2[fF]|5[cC]|[01][0-9A-Fa-f]|7[fF])|%(?![0-9A-Fa-f]{2})/

function pathOf(draft: Draft, { type = 'PathPrefix', value }: PathSpec): PolicyPath {
  if (type === 'RegularExpression') {
    checkPattern(draft, 'path', value)
    return { type: 'regex', value }
  }
  if (!value.startsWith('/') || neverNormal.test(value)) {
    draft.faults.push(`path ${show(value)} is none that requests are judged by: no empty and no dot segments, no query, no parameters, no encoded slash`)
  }
  return { type: type === 'Exact' ? 'exact' : 'prefix', value }
}

function headerOf(draft: Draft, { type, name, value }: HeaderSpec): NamedMatch {
  const lower = name.toLowerCase()
  if (type !== 'RegularExpression') return { name: lower, type: 'exact', value }
  checkPattern(draft, `header ${name}`, value)
  return { name: lower, type: 'regex', value }
}

type Defined<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> }

function defined<T extends object>(fields: T): Defined<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>
}
