import assert from 'node:assert/strict'
import fc from 'fast-check'
import { speakersKey } from '../model/entries.ts'
import { keyOf, resourceSetOf, type Resource, type ResourceSet } from '../api/resources.ts'
import type { ObjectRef } from '../model/refs.ts'
import { apply, delta } from '../model/snapshot.ts'
import type { Translation } from './options.ts'
import { arbitraryObject } from './testing/arbitrary.ts'
import { translate } from './translate.ts'

const options = { trustDomain: 'cluster.local' }
/** Enough objects that Services, routes and waypoints meet. */
const objectsIn = (namespaces: readonly [string, ...string[]]): fc.Arbitrary<readonly Resource[]> =>
  fc.uniqueArray(arbitraryObject(namespaces), {
    minLength: 5,
    maxLength: 40,
    size: 'max',
    selector: (object) => `${object.kind} ${keyOf(object)}`,
  })

const translateAll = (objects: readonly Resource[]): Translation => translate(resourceSetOf(objects), options)
/** Maps compare without order; what is promised is that the order is the same too. */
const inOrder = ({ snapshot, statuses, warnings }: Translation): unknown => ({ snapshot: [...snapshot], statuses, warnings })

function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return
  Object.freeze(value)
  for (const child of value instanceof Map ? (value.values() as Iterable<unknown>) : Object.values(value)) deepFreeze(child)
}

describe('translate', function () {
  // Hundreds of translations; on a busy machine the usual time is too short.
  this.timeout(30_000)

  it('gives the same answer whatever the order of the objects', () => {
    fc.assert(
      fc.property(
        objectsIn(['a', 'b']).chain((objects) =>
          fc.tuple(fc.constant(objects), fc.shuffledSubarray([...objects], { minLength: objects.length })),
        ),
        ([objects, shuffled]) => assert.deepEqual(inOrder(translateAll(shuffled)), inOrder(translateAll(objects))),
      ),
    )
  })

  it('gives the same answer again and never writes to its input', () => {
    fc.assert(
      fc.property(objectsIn(['a', 'b']), (objects) => {
        const before = structuredClone(objects)
        objects.forEach(deepFreeze)
        const resources: ResourceSet = resourceSetOf(objects)
        assert.deepEqual(inOrder(translate(resources, options)), inOrder(translate(resources, options)))
        assert.deepEqual(objects, before)
      }),
    )
  })

  it('changes nothing elsewhere when objects of an unrelated namespace come', () => {
    fc.assert(
      fc.property(objectsIn(['a', 'b']), objectsIn(['z']), (objects, others) => {
        const alone = translateAll(objects)
        const together = translateAll([...objects, ...others])
        // Which waypoints there are is said of all namespaces at once.
        for (const [key, entry] of alone.snapshot) if (entry.kind !== 'speakers') assert.deepEqual(together.snapshot.get(key), entry, key)
        for (const key of together.snapshot.keys()) assert.ok(alone.snapshot.has(key) || key.includes('/z/') || key === speakersKey, key)
        const ofOthers = ({ namespace, name }: ObjectRef): boolean => namespace === 'z' || (namespace === '' && name === 'z')
        assert.deepEqual(together.statuses.filter(({ ref }) => !ofOthers(ref)), alone.statuses)
        assert.deepEqual(together.warnings.filter(({ ref }) => !ofOthers(ref)), alone.warnings)
      }),
    )
  })

  it('lets a route of one namespace change no entry but its own namespace\'s tables', () => {
    fc.assert(
      fc.property(objectsIn(['a', 'b']), objectsIn(['b', 'c']), (objects, more) => {
        const guests = more.filter((each) => each.kind.endsWith('Route') && each.metadata.namespace === 'c')
        const labels = { 'waymark.dev/waypoint': 'auto' }
        const before = translateAll(objects)
        const after = translateAll([...objects, ...guests, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'c', labels } }])
        const changes = delta(before.snapshot, after.snapshot)
        assert.deepEqual(changes.remove, [])
        for (const [key] of changes.put) assert.match(key, /^(routes\/(consumer|producer)\/c\/|waypoint\/c\/|speakers\/)/)
      }),
    )
  })

  it('publishes only what an accepted route says, at a waypoint that is there', () => {
    fc.assert(
      fc.property(objectsIn(['a', 'b']), (objects) => {
        const { snapshot, statuses } = translateAll(objects)
        const accepted = new Set<string>()
        for (const status of statuses) {
          if (status.kind !== 'route') continue
          const conditions = status.parents.flatMap((parent) => parent.conditions)
          if (!conditions.some(({ type, status: is }) => type === 'Accepted' && is === 'True')) continue
          accepted.add(`${status.ref.kind} ${status.ref.namespace}/${status.ref.name}`)
        }
        const served = new Set([...snapshot.values()].filter(({ kind }) => kind === 'waypoint').map(({ namespace }) => namespace))
        for (const entry of snapshot.values()) {
          if (entry.kind !== 'routes') continue
          assert.ok(served.has(entry.namespace))
          for (const { id } of entry.routes.rules) assert.ok(accepted.has(`${id.routeKind} ${id.namespace}/${id.name}`), JSON.stringify(id))
        }
      }),
    )
  })

  it('says of every parent whether it is accepted and whether references resolve, at the object\'s generation', () => {
    fc.assert(
      fc.property(objectsIn(['a', 'b']), (objects) => {
        const generations = new Map(objects.map((object) => [`${object.kind} ${keyOf(object)}`, object.metadata.generation ?? 1]))
        for (const status of translateAll(objects).statuses) {
          const generation = generations.get(`${status.ref.kind} ${status.ref.namespace}/${status.ref.name}`)
          if (status.kind === 'policy') continue
          const lists = status.kind === 'route' ? status.parents.map(({ conditions }) => conditions) : [status.conditions]
          for (const conditions of lists) {
            const types = conditions.map(({ type }) => type)
            assert.deepEqual(types.slice(0, 1), ['Accepted'])
            assert.ok(types.includes('ResolvedRefs'))
            assert.equal(new Set(types).size, types.length)
            for (const { observedGeneration, message } of conditions) {
              assert.equal(observedGeneration, generation)
              assert.notEqual(message, '')
            }
          }
        }
      }),
    )
  })

  it('leads from any translation to any other by their delta', () => {
    fc.assert(
      fc.property(objectsIn(['a', 'b']), objectsIn(['a', 'b']), (one, other) => {
        const from = translateAll(one).snapshot
        const to = translateAll(other).snapshot
        assert.deepEqual(apply(from, delta(from, to)), to)
      }),
    )
  })

  it('translates 5,000 routes on 1,000 Services in far less time than anybody waits', () => {
    const objects: Resource[] = []
    for (let namespace = 0; namespace < 50; namespace++) {
      objects.push({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: `n${namespace}`, labels: { 'waymark.dev/waypoint': 'auto' } } })
    }
    for (let index = 0; index < 1000; index++) {
      const namespace = `n${index % 50}`
      const clusterIP = `10.96.${index >> 8}.${index & 255}`
      const spec = { clusterIP, ports: [{ port: 80 }] }
      objects.push({ apiVersion: 'v1', kind: 'Service', metadata: { namespace, name: `s${index}` }, spec })
      objects.push({
        apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4', ports: [{ port: 8080 }],
        metadata: { namespace, name: `s${index}`, labels: { 'kubernetes.io/service-name': `s${index}` } },
        endpoints: [1, 2, 3].map((last) => ({ addresses: [`10.${index >> 8}.${index & 255}.${last}`] })),
      })
    }
    for (let index = 0; index < 5000; index++) {
      const service = index % 1000
      objects.push({
        apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: { namespace: `n${service % 50}`, name: `r${index}` },
        spec: {
          parentRefs: [{ group: '', kind: 'Service', name: `s${service}` }],
          rules: [{ matches: [{ path: { type: 'PathPrefix', value: `/r${index}` } }], backendRefs: [{ name: `s${service}`, port: 80 }] }],
        },
      })
    }
    const resources = resourceSetOf(objects)
    const start = process.hrtime.bigint()
    const { snapshot } = translate(resources, options)
    const elapsedMs = Number((process.hrtime.bigint() - start) / 1_000_000n)
    assert.equal([...snapshot.values()].filter(({ kind }) => kind === 'routes').length, 1000)
    // It takes about a tenth of this; anything quadratic takes many times more.
    assert.ok(elapsedMs < 3000, `${elapsedMs} ms`)
  })
})
