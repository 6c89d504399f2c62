import type { SessionPersistenceSpec, ValueMatch } from '../api/routes.ts'
import type { NamedMatch, SessionPersistence, StringMatch } from '../model/route.ts'
import { checkPattern, durationOf, type RuleDraft } from './rules.ts'

/** A value as exact text or RE2; a pattern that RE2 refuses is a fault of the rule. */
export function valueMatch(draft: RuleDraft, field: string, type: string | undefined, value: string): StringMatch {
  if (type !== 'RegularExpression') return { type: 'exact', value }
  checkPattern(draft, field, value)
  return { type: 'regex', value }
}

/** Header matches, names in lower case; of those that name one header twice the first counts. Source: HTTPHeaderMatch.name. */
export function headerMatches(draft: RuleDraft, specs: readonly ValueMatch[] | undefined): readonly NamedMatch[] {
  return firstOfEach(specs, (name) => name.toLowerCase()).map(([name, spec]) => ({
    name,
    ...valueMatch(draft, `header ${name}`, spec.type, spec.value),
  }))
}

/** Query parameter matches; of those that name one parameter twice the first counts. Source: HTTPQueryParamMatch.name. */
export function queryMatches(draft: RuleDraft, specs: readonly ValueMatch[] | undefined): readonly NamedMatch[] {
  return firstOfEach(specs, (name) => name).map(([name, spec]) => ({
    name,
    ...valueMatch(draft, `query parameter ${name}`, spec.type, spec.value),
  }))
}

/** How a rule keeps sessions together; without a name of its own the rule gets one that no other rule has. Source: GEP-1619. */
export function persistenceOf(draft: RuleDraft, spec: SessionPersistenceSpec | undefined): { readonly persistence?: SessionPersistence } {
  if (spec === undefined) return {}
  const absoluteTimeoutMs = durationOf(draft, 'sessionPersistence.absoluteTimeout', spec.absoluteTimeout)
  const idleTimeoutMs = durationOf(draft, 'sessionPersistence.idleTimeout', spec.idleTimeout)
  const lifetime = spec.cookieConfig?.lifetimeType === 'Permanent' ? 'permanent' : 'session'
  if (lifetime === 'permanent' && spec.absoluteTimeout === undefined) {
    draft.faults.push('a Permanent session cookie needs an absoluteTimeout')
  }
  const type = spec.type === 'Header' ? 'header' : 'cookie'
  const { namespace, name, rule } = draft.id
  const fallback = `waymark-session-${namespace}-${name}-${rule}`
  return {
    persistence: {
      type,
      name: type === 'header' ? (spec.sessionName ?? fallback).toLowerCase() : (spec.sessionName ?? fallback),
      ...(absoluteTimeoutMs === undefined ? {} : { absoluteTimeoutMs }),
      ...(idleTimeoutMs === undefined ? {} : { idleTimeoutMs }),
      lifetime,
    },
  }
}

function firstOfEach(
  specs: readonly ValueMatch[] | undefined,
  keyOf: (name: string) => string,
): readonly (readonly [string, ValueMatch])[] {
  const found = new Map<string, ValueMatch>()
  for (const spec of specs ?? []) {
    if (!found.has(keyOf(spec.name))) found.set(keyOf(spec.name), spec)
  }
  return [...found]
}
