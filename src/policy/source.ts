import { formatSpiffeId } from '../model/identity.ts'
import type { PolicySource } from '../model/policy.ts'
import type { Attributes, Certainty } from './attributes.ts'
import { compileCidrs } from './cidr.ts'
import { compileGlob } from './glob.ts'

export type Test = (attributes: Attributes) => boolean

/**
 * Compiles a source. Who proved no identity is meant by no field that names one; `not…` fields mean it where that leads to a
 * denial, and not where it leads to a permission. An address that is not known counts against the caller.
 */
export function compileSource(source: PolicySource, certainty: Certainty): Test {
  const tests = [
    ...identityTests(source.namespaces, source.notNamespaces, certainty, (values) => {
      const wanted = new Set(values)
      return ({ caller }) => caller !== undefined && wanted.has(caller.namespace)
    }),
    ...identityTests(source.serviceAccounts, source.notServiceAccounts, certainty, (values) => {
      const wanted = new Set(values)
      return ({ caller }) => caller !== undefined && wanted.has(`${caller.namespace}/${caller.serviceAccount}`)
    }),
    ...identityTests(source.spiffeIds, source.notSpiffeIds, certainty, (values) => {
      const globs = values.map(compileGlob)
      return ({ caller }) => {
        if (caller === undefined) return false
        const id = formatSpiffeId(caller)
        return globs.some((fits) => fits(id))
      }
    }),
    ...addressTests(source, certainty),
  ]
  return (attributes) => tests.every((test) => test(attributes))
}

function identityTests(
  values: readonly string[] | undefined,
  notValues: readonly string[] | undefined,
  certainty: Certainty,
  compile: (values: readonly string[]) => Test,
): readonly Test[] {
  const tests: Test[] = []
  if (values !== undefined) tests.push(compile(values))
  if (notValues !== undefined) {
    const named = compile(notValues)
    tests.push((attributes) => (attributes.caller === undefined ? certainty === 'possibly' : !named(attributes)))
  }
  return tests
}

function addressTests({ cidrs, notCidrs }: PolicySource, certainty: Certainty): readonly Test[] {
  const tests: Test[] = []
  const add = (ranges: readonly string[] | undefined, wanted: boolean): void => {
    if (ranges === undefined) return
    const holds = compileCidrs(ranges)
    tests.push(({ address }) => (address === undefined ? certainty === 'possibly' : holds(address) === wanted))
  }
  add(cidrs, true)
  add(notCidrs, false)
  return tests
}
