import assert from 'node:assert/strict'
import fc from 'fast-check'
import { gatewaySchemas } from '../../crds/load.ts'
import { withDefaults } from './defaults.ts'
import { validate, type Validation } from './validate.ts'

const options = { gateway: gatewaySchemas('experimental'), standard: gatewaySchemas('standard') }
const judge = (value: unknown): Validation => validate(value, options)

const route = {
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'HTTPRoute',
  metadata: { name: 'r', namespace: 'shop', labels: { app: 'web' } },
  spec: {
    parentRefs: [{ group: '', kind: 'Service', name: 'reviews', port: 80 }],
    rules: [
      {
        matches: [{ path: { type: 'PathPrefix', value: '/v2' }, headers: [{ name: 'x-env', value: 'canary' }] }],
        filters: [{ type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'a', value: 'b' }] } }],
        backendRefs: [{ name: 'reviews-v2', port: 80, weight: 10 }],
        timeouts: { request: '2s', backendRequest: '1s' },
      },
    ],
  },
}
const slice = {
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 's' },
  addressType: 'IPv4',
  ports: [{ port: 80 }],
  endpoints: [{ addresses: ['127.0.0.1'], conditions: { ready: true } }],
}
const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 's' }, spec: { ports: [{ port: 80 }] } }

type Path = readonly (string | number)[]

/** Every place in a value. */
function* places(value: unknown, path: Path = []): Generator<Path> {
  yield path
  if (typeof value !== 'object' || value === null) return
  for (const [key, child] of Object.entries(value)) yield* places(child, [...path, Array.isArray(value) ? Number(key) : key])
}

/** `value` with what stands at `path` replaced; undefined takes it away. */
function replaced(value: unknown, path: Path, by: unknown): unknown {
  const [first, ...rest] = path
  if (first === undefined) return by
  if (Array.isArray(value)) return (value as readonly unknown[]).map((item, at) => (at === first ? replaced(item, rest, by) : item))
  const entries = Object.entries(value as object).map(([key, child]: [string, unknown]) => [key, key === first ? replaced(child, rest, by) : child] as const)
  return Object.fromEntries(entries.filter(([, child]) => child !== undefined))
}

const junk = fc.oneof(
  fc.anything(),
  fc.jsonValue(),
  fc.constantFrom(undefined, null, '', 0, -1, 2 ** 53, NaN, [], {}, [[]], '/', '//', '0s', JSON.parse('{"__proto__": {"a": 1}}') as unknown),
)
const mutant = fc
  .constantFrom<object>(route, slice, service)
  .chain((base) => fc.tuple(fc.constant(base), fc.array(fc.tuple(fc.constantFrom(...places(base)), junk), { minLength: 1, maxLength: 3 })))
  .map(([base, changes]) => {
    let value: unknown = base
    for (const [path, by] of changes) {
      try {
        value = replaced(value, path, by)
      } catch {
        // An earlier change took the place away.
      }
    }
    return value
  })

describe('validation, whatever it is given', () => {
  it('starts from objects that are good', () => {
    for (const each of [route, slice, service]) assert.equal(judge(each).kind, 'valid')
  })

  it('never throws, and refuses with at least one error that advises', () => {
    fc.assert(
      fc.property(mutant, (value) => {
        const validation = judge(value)
        const errors = validation.problems.filter((problem) => problem.severity === 'error')
        assert.equal(errors.length > 0, validation.kind === 'invalid')
        for (const problem of validation.problems) assert.ok(problem.message !== '' && problem.advice !== '')
      }),
      { numRuns: 2000 },
    )
  })

  it('accepts what it gave, unchanged: defaults are filled in once', () => {
    fc.assert(
      fc.property(mutant, (value) => {
        const first = judge(value)
        if (first.kind !== 'valid') return
        const second = judge(first.object)
        assert.deepEqual(second.kind === 'valid' ? second.object : undefined, first.object)
      }),
      { numRuns: 1000 },
    )
  })

  it('never changes what it is given, nor any prototype', () => {
    fc.assert(
      fc.property(mutant, (value) => {
        const before = structuredCloneOr(value)
        judge(value)
        if (before !== undefined) assert.deepEqual(value, before)
        assert.equal(({} as Record<string, unknown>)['a'], undefined)
      }),
      { numRuns: 500 },
    )
  })

  it('keeps the very parts that no default touches', () => {
    const schema = options.gateway['HTTPRoute']?.['v1'] ?? assert.fail()
    const made = withDefaults(schema, route) as typeof route
    assert.equal(made.metadata, route.metadata)
    assert.equal(made.spec.rules[0]?.timeouts, route.spec.rules[0]?.timeouts)
    assert.equal(withDefaults(schema, made), made)
  })
})

/** A deep copy, or undefined of what can't be copied. */
function structuredCloneOr(value: unknown): unknown {
  try {
    return structuredClone(value)
  } catch {
    return undefined
  }
}
