import { RE2JS } from 're2js'

/** Answers kept per pattern: manifests repeat their names, groups and kinds thousands of times. */
const maxAnswers = 4096

interface Pattern {
  readonly regex: RE2JS
  readonly answers: Map<string, boolean>
}

const patterns = new Map<string, Pattern>()

/**
 * Whether `pattern` is found in `value`: unanchored, RE2 syntax, linear time, as Go's `regexp` has it.
 * @throws if `pattern` is not RE2
 */
export function matchesPattern(pattern: string, value: string): boolean {
  let known = patterns.get(pattern)
  if (known === undefined) {
    known = { regex: RE2JS.compile(pattern), answers: new Map() }
    patterns.set(pattern, known)
  }
  const answer = known.answers.get(value)
  if (answer !== undefined) return answer
  const fresh = known.regex.test(value)
  if (known.answers.size >= maxAnswers) known.answers.clear()
  known.answers.set(value, fresh)
  return fresh
}

const words: Readonly<Record<string, string>> = {
  '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$': 'a DNS label: lower-case letters, digits and `-`, starting and ending with a letter or digit',
  '^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?$': 'nothing, or a DNS label: lower-case letters, digits and `-`',
  '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$':
    'a DNS name: labels of lower-case letters, digits and `-`, joined by `.`, without a port',
  '^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$':
    "an API group, such as gateway.networking.k8s.io, or '' for the core group",
  '^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$':
    'a host name in lower case, with at most one wildcard as its first label (*.example.com), without a port',
  '^([0-9]{1,5}(h|m|s|ms)){1,4}$': 'a duration of at most four parts in h, m, s or ms, such as 10s or 1h30m',
  '^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$': 'the name of a kind, such as Service',
  "^[A-Za-z0-9!#$%&'*+\\-.^_\\x60|~]+$": 'an HTTP token: no spaces, no colon',
}

/** What a pattern asks for, in words where there are better ones than the pattern itself. */
export function describePattern(pattern: string): string {
  return words[pattern] ?? `text that matches ${pattern}`
}
