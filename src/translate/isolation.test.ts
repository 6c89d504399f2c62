import assert from 'node:assert/strict'
import fc from 'fast-check'
import { compileConfig } from '../../waypoint/config/compile.ts'
import { keyOf, resourceSetOf, withObject, type Resource, type ResourceSet } from '../api/resources.ts'
import { indexDestinations } from '../model/destination.ts'
import { arbitraryObject } from './testing/arbitrary.ts'
import { translate } from './translate.ts'
import { createTranslator } from './translator.ts'

const options = { trustDomain: 'cluster.local' }

const deep = (depth: number): unknown => {
  let value: unknown = 'end'
  for (let at = 0; at < depth; at++) value = at % 2 === 0 ? [value] : { spec: value }
  return value
}
/** By name, since what is too deep is too deep to be printed, too. */
const monsters = {
  deep: deep(10_000),
  long: Array.from({ length: 3000 }, (_, at) => at),
  proto: JSON.parse('{"__proto__":{"polluted":1},"constructor":1,"toString":null}') as unknown,
  text: 'a'.repeat(5000),
} as const
const junk = fc.oneof(
  fc.constantFrom<unknown>(null, 0, -1, 1.5, 1e300, '', 'x', '10.1.2.3', true, [], {}, [null], [[]], [{}], { name: null }, 'None').map((value) => ({ value })),
  fc.jsonValue({ maxDepth: 3 }).map((value) => ({ value })),
  fc.constantFrom('deep', 'long', 'proto', 'text').map((monster) => ({ monster: monster })),
)
type Junk = { readonly value: unknown } | { readonly monster: keyof typeof monsters }
const unpack = (given: Junk): unknown => ('monster' in given ? monsters[given.monster] : given.value)

/** `object` with junk in place of something in it, chosen by `path`. */
function mutate(object: unknown, path: readonly number[], value: unknown): unknown {
  const [first, ...rest] = path
  if (first === undefined || typeof object !== 'object' || object === null) return value
  const keys = Object.keys(object)
  const key = keys[first % Math.max(keys.length, 1)]
  if (key === undefined) return value
  // Which object it is stays: another name or kind is another object.
  if (key === 'kind' && 'metadata' in object) return object
  const copy = (Array.isArray(object) ? [...(object as unknown[])] : { ...object }) as Record<string, unknown>
  copy[key] = mutate(copy[key], rest, value)
  return copy
}

function swap(set: ResourceSet, good: Resource, bad: unknown): ResourceSet {
  const map = new Map<string, unknown>(set[good.kind])
  map.set(keyOf(good), bad)
  return { ...set, [good.kind]: map }
}

const some = (namespaces: readonly [string, ...string[]]): fc.Arbitrary<readonly Resource[]> =>
  fc.uniqueArray(arbitraryObject(namespaces), { minLength: 5, maxLength: 25, size: 'max', selector: (object) => `${object.kind} ${keyOf(object)}` })

describe('one bad object', function () {
  this.timeout(120_000)

  it('never stops translation and never changes an entry of another namespace', () => {
    fc.assert(
      fc.property(
        some(['a', 'b']), some(['z']), fc.nat(), fc.array(fc.nat({ max: 12 }), { minLength: 1, maxLength: 9 }), junk,
        (objects, others, which, path, value) => {
          const good = others[which % others.length]!
          const bad = mutate(good, path, unpack(value))
          const set = swap(resourceSetOf([...objects, ...others]), good, bad)
          const { snapshot, statuses } = translate(set, options)
          const alone = translate(resourceSetOf(objects), options)
          // Which waypoints there are is said of all namespaces at once.
          for (const [key, entry] of alone.snapshot) if (entry.kind !== 'speakers') assert.deepEqual(snapshot.get(key), entry, key)
          const ofOthers = new Set(alone.statuses.map(({ ref }) => `${ref.kind} ${ref.namespace}/${ref.name}`))
          const kept = statuses.filter(({ ref }) => ofOthers.has(`${ref.kind} ${ref.namespace}/${ref.name}`))
          assert.deepEqual(kept, alone.statuses)
          assert.equal(({} as { polluted?: unknown }).polluted, undefined)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('never makes configuration that data planes can not take', () => {
    fc.assert(
      fc.property(some(['a', 'b']), fc.nat(), fc.array(fc.nat({ max: 12 }), { minLength: 1, maxLength: 9 }), junk, (objects, which, path, value) => {
        const good = objects[which % objects.length]!
        const { snapshot } = translate(swap(resourceSetOf(objects), good, mutate(good, path, unpack(value))), options)
        for (const namespace of ['a', 'b']) compileConfig(snapshot, namespace)
        indexDestinations(snapshot)
        assert.deepEqual(JSON.parse(JSON.stringify([...snapshot])), [...snapshot], 'what travels is JSON')
      }),
      { numRuns: 200 },
    )
  })

  const metadata = { namespace: 'z', name: 'bad', generation: 4 }
  const parentRefs = [{ group: '', kind: 'Service', name: 'reviews' }]
  const route = (rules: unknown): Resource =>
    ({ apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata, spec: { parentRefs, rules } }) as unknown as Resource
  const around: readonly Resource[] = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'z', labels: { 'waymark.dev/waypoint': 'auto' } } },
    { apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'z', name: 'reviews' }, spec: { clusterIP: '10.96.0.1', ports: [{ port: 80 }] } },
  ]

  it('is told what is wrong with it in its own status', () => {
    for (const [rules, said] of [
      [[{ matches: [{ path: { type: 'Exact', value: 5 } }] }], /spec\.rules\[0\]\.matches\[0\]\.path\.value is 5 and must be text/],
      ['all', /spec\.rules is "all" and must be a list/],
      [[{ backendRefs: [{ name: 'reviews', port: '80' }] }], /port is "80" and must be a port/],
      [[{ backendRefs: [{ name: 'reviews', port: 80, weight: -3 }] }], /weight is -3 and must be a whole number/],
      [[{ filters: [{}] }], /filters\[0\]\.type is absent and must be set/],
      [deep(10_000), /spec\.rules/],
    ] as const) {
      const { statuses, snapshot } = translate(resourceSetOf([...around, route(rules)]), options)
      const status = statuses.find(({ ref }) => ref.name === 'bad')
      assert.ok(status?.kind === 'route')
      const accepted = status.parents[0]?.conditions[0]
      assert.deepEqual([accepted?.type, accepted?.status, accepted?.reason, accepted?.observedGeneration], ['Accepted', 'False', 'UnsupportedValue', 4])
      assert.match(accepted?.message ?? '', said)
      assert.ok(![...snapshot.keys()].some((key) => key.startsWith('routes/')), 'it captures nothing')
    }
  })

  it('may have null for what is absent, as Go writes it', () => {
    const slice = { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { namespace: 'z', name: 'r', labels: { 'kubernetes.io/service-name': 'reviews' } }, addressType: 'IPv4' }
    const { warnings, snapshot } = translate(resourceSetOf([...around, { ...slice, endpoints: null, ports: null } as unknown as Resource, route([{ matches: null, filters: null, name: null }])]), options)
    assert.deepEqual(warnings, [])
    assert.ok(snapshot.has('routes/producer/z/z/reviews/80'))
  })

  it('keeps a Gateway serving whose infrastructure can not be read', () => {
    const spec = { gatewayClassName: 'waypoint', listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }], infrastructure: { labels: 'many' } }
    const gateway = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', metadata: { namespace: 'z', name: 'edge', uid: '1' }, spec } as unknown as Resource
    const { snapshot, infra, statuses } = translate(resourceSetOf([...around, gateway]), options)
    assert.ok(snapshot.has('waypoint/z/edge'))
    assert.deepEqual(infra.map(({ parameters }) => parameters), [undefined])
    const status = statuses.find(({ kind }) => kind === 'gateway')
    assert.ok(status?.kind === 'gateway')
    assert.match(status.conditions[0]?.message ?? '', /spec\.infrastructure\.labels is "many" and must be a map/)
  })

  it('does not slow down what is asked for others: it is looked at once, and its patterns have a price', () => {
    const costly = '\\pL{1000}'.repeat(450)
    const matches = Array.from({ length: 64 }, (_, at) => ({
      path: { type: 'RegularExpression', value: `/${at}${costly}` },
      headers: Array.from({ length: 16 }, (__, header) => ({ type: 'RegularExpression', name: `h${header}`, value: `${at}(((a{30})*)*)*${costly}` })),
    }))
    const hostile = route(Array.from({ length: 16 }, () => ({ matches })))
    const remembering = createTranslator()
    const startMs = performance.now()
    const first = remembering(resourceSetOf([...around, hostile]), options)
    // Without the price it would be hours.
    assert.ok(performance.now() - startMs < 20_000)
    const status = first.statuses.find(({ ref }) => ref.name === 'bad')
    assert.ok(status?.kind === 'route')
    const message = status.parents[0]?.conditions[0]?.message ?? ''
    assert.match(message, /too large a regular expression/)
    assert.ok(message.length <= 4096)
    const before = process.cpuUsage().user
    let set = resourceSetOf([...around, hostile])
    remembering(set, options)
    for (let at = 0; at < 50; at++) {
      set = withObject(set, { apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'a', name: 'other' }, spec: { clusterIP: '10.96.0.2', ports: [{ port: 80 + at }] } })
      remembering(set, options)
    }
    const eachMs = (process.cpuUsage().user - before) / 1000 / 50
    assert.ok(eachMs < 100, `${eachMs} ms of CPU for each change elsewhere`)
  })
})
