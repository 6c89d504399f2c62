import { own, show, type FieldProblem } from './field.ts'
import { describePattern, matchesPattern } from './patterns.ts'
import { kinds, type ResourceKind } from './resources.ts'

const dnsLabel = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'
const dnsName = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'

/** Kinds whose names become one label of a DNS name; all others may have dots. */
const labelled: readonly ResourceKind[] = ['Namespace', 'Service']

/**
 * Checks the name and namespace of an object.
 * Source: Kubernetes documentation, "Object Names and IDs": DNS-1123 subdomain of 253 characters, or label of 63.
 */
export function checkNames(kind: ResourceKind, metadata: Readonly<Record<string, unknown>>): FieldProblem[] {
  const name = own(metadata, 'name')
  const problems = [...checkName('name', name, labelled.includes(kind))]
  if (name === undefined && own(metadata, 'generateName') !== undefined) {
    problems.push(error('generateName', 'only a cluster can make up names', 'give the object a metadata.name'))
  }
  const namespace = own(metadata, 'namespace')
  if (kinds[kind].namespaced) {
    problems.push(...checkName('namespace', namespace, true))
  } else if (namespace !== undefined) {
    const message = `a ${kind} has no namespace; this one is ignored`
    problems.push({ ...error('namespace', message, 'remove metadata.namespace'), severity: 'warning' })
  }
  return problems
}

/** Missing names and names of another type are the schema's business. */
function checkName(field: string, name: unknown, isLabel: boolean): FieldProblem[] {
  if (typeof name !== 'string') return []
  const [pattern, most] = isLabel ? [dnsLabel, 63] : [dnsName, 253]
  if (name.length <= most && matchesPattern(pattern, name)) return []
  const advice = `rename it, for example to ${suggestName(name, isLabel, most)}`
  const expected = `${describePattern(pattern)}, at most ${most} characters`
  return [{ ...error(field, `invalid ${field} ${show(name)}`, advice), expected }]
}

function suggestName(name: string, isLabel: boolean, most: number): string {
  const made = name
    .slice(0, most)
    .toLowerCase()
    .replaceAll(isLabel ? /[^a-z0-9]+/g : /[^a-z0-9.]+/g, '-')
    .replaceAll(/^[-.]+|[-.]+$/g, '')
  return made === '' ? 'my-name' : made
}

function error(field: string, message: string, advice: string): FieldProblem {
  return { severity: 'error', path: ['metadata', field], message, advice }
}
