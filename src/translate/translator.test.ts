import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { keyOf, resourceSetOf, withObject, withoutObject, type Resource, type ResourceSet } from '../api/resources.ts'
import type { TranslateOptions, Translation } from './options.ts'
import { arbitraryObject } from './testing/arbitrary.ts'
import { translate } from './translate.ts'
import { createTranslator } from './translator.ts'

const options: TranslateOptions = { trustDomain: 'cluster.local' }
const inOrder = ({ snapshot, ...others }: Translation): unknown => ({ snapshot: [...snapshot], ...others })

type Step =
  | { readonly kind: 'put'; readonly objects: readonly Resource[] }
  | { readonly kind: 'remove'; readonly which: number }
  | { readonly kind: 'replace'; readonly which: number }
  | { readonly kind: 'options'; readonly options: TranslateOptions }

const object = arbitraryObject(['a', 'b'])
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.array(object, { minLength: 1, maxLength: 3 }).map((objects): Step => ({ kind: 'put', objects })) },
  { weight: 2, arbitrary: fc.nat().map((which): Step => ({ kind: 'remove', which })) },
  { weight: 2, arbitrary: fc.nat().map((which): Step => ({ kind: 'replace', which })) },
  {
    weight: 1,
    arbitrary: fc.record({ ready: fc.subarray(['a/one', 'a/two', 'a/waypoint', 'b/one', 'b/waypoint']), known: fc.boolean(), nodeAgent: fc.boolean() }).map(
      ({ ready, known, nodeAgent }): Step => ({
        kind: 'options',
        options: { ...options, nodeAgent, ...(known ? { readyWaypoints: new Set(ready) } : {}) },
      }),
    ),
  },
)

function take(set: ResourceSet, next: Step): ResourceSet {
  const all = Object.values(set).flatMap((map) => [...(map as ReadonlyMap<string, Resource>).values()])
  switch (next.kind) {
    case 'put':
      return next.objects.reduce(withObject, set)
    case 'options':
      return set
    case 'remove': {
      const gone = all[next.which % Math.max(all.length, 1)]
      return gone === undefined ? set : withoutObject(set, gone.kind, keyOf(gone))
    }
    case 'replace': {
      // The same object once more, as a watch that was cut and began anew brings it.
      const again = all[next.which % Math.max(all.length, 1)]
      return again === undefined ? set : withObject(set, structuredClone(again))
    }
  }
}

describe('translator', function () {
  this.timeout(60_000)

  it('answers as a translation from nothing does, whatever came before', () => {
    fc.assert(
      fc.property(fc.array(object, { minLength: 5, maxLength: 40, size: 'max' }), fc.array(step, { minLength: 1, maxLength: 12, size: 'max' }), (objects, steps) => {
        const remembering = createTranslator()
        let set = resourceSetOf(objects)
        let now = options
        for (const next of [{ kind: 'put', objects: [] } as const, ...steps]) {
          set = take(set, next)
          if (next.kind === 'options') now = next.options
          assert.deepEqual(inOrder(remembering(set, now)), inOrder(translate(set, now)))
        }
      }),
      { numRuns: 60 },
    )
  })

  it('gives the same statuses whenever it is asked for them: at once, later, or only for some of its answers', () => {
    fc.assert(
      fc.property(fc.array(object, { minLength: 5, maxLength: 40, size: 'max' }), fc.array(fc.tuple(step, fc.boolean()), { minLength: 1, maxLength: 8, size: 'max' }), (objects, steps) => {
        const remembering = createTranslator()
        let set = resourceSetOf(objects)
        const late = [{ answer: remembering(set, options), set }]
        for (const [next, atOnce] of steps) {
          set = take(set, next)
          const answer = remembering(set, options)
          if (atOnce) assert.deepEqual(answer.statuses, translate(set, options).statuses)
          else late.push({ answer, set })
        }
        for (const each of late) assert.deepEqual(each.answer.statuses, translate(each.set, options).statuses)
      }),
      { numRuns: 50 },
    )
  })

  it('hands out the very same entry as long as it is equal', () => {
    fc.assert(
      fc.property(fc.array(object, { minLength: 5, maxLength: 40, size: 'max' }), fc.array(step, { minLength: 1, maxLength: 8, size: 'max' }), (objects, steps) => {
        const remembering = createTranslator()
        let set = resourceSetOf(objects)
        let before = remembering(set, options)
        for (const next of steps) {
          set = take(set, next)
          const after = remembering(set, options)
          for (const [key, entry] of after.snapshot) {
            const old = before.snapshot.get(key)
            assert.ok(old === entry || !isDeepStrictEqual(old, entry), key)
          }
          before = after
        }
      }),
      { numRuns: 50 },
    )
  })

  it('changes nothing at all when nothing changed', () => {
    fc.assert(
      fc.property(fc.array(object, { maxLength: 30, size: 'max' }), (objects) => {
        const remembering = createTranslator()
        const set = resourceSetOf(objects)
        const first = remembering(set, options)
        const second = remembering({ ...set }, { ...options })
        assert.equal(second.snapshot, first.snapshot)
        assert.equal(second.warnings, first.warnings)
        for (const [at, status] of second.statuses.entries()) assert.ok(status === first.statuses[at])
        for (const [at, each] of second.infra.entries()) assert.ok(each === first.infra[at])
      }),
      { numRuns: 50 },
    )
  })

  it('compiles a route for a whole namespace again only if something changed that its rules refer to', () => {
    const service = (name: string, labels = {}): Resource => ({
      apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'a', labels }, spec: { clusterIP: `10.0.0.${name.length}`, ports: [{ name: 'http', port: 80 }] },
    })
    const gateway: Resource = {
      apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', metadata: { name: 'waypoint', namespace: 'a' },
      spec: { gatewayClassName: 'waypoint', listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }] },
    }
    let compiled = 0
    const rule = { get filters() {
      compiled++
      return []
    }, backendRefs: [{ name: 'bb', port: 80 }] }
    const route: Resource = {
      apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: { name: 'r', namespace: 'a' }, spec: { parentRefs: [{ name: 'waypoint' }], rules: [rule] },
    }
    const remembering = createTranslator()
    let set = resourceSetOf([gateway, service('a'), service('bb'), route])
    remembering(set, options)
    const once = compiled
    assert.ok(once > 0)
    for (const other of [service('a', { some: 'label' }), service('ccc')]) {
      set = withObject(set, other)
      assert.deepEqual(inOrder(remembering(set, options)), inOrder(translate(resourceSetOf([gateway, ...set.Service.values(), { ...route, spec: { ...route.spec, rules: [{ ...rule }] } }]), options)))
    }
    const others = compiled
    remembering(withObject(set, service('bb', { some: 'label' })), options)
    assert.ok(compiled > others)
    // Twice by the spread of the comparison above.
    assert.equal(others, once + 2)
  })

  it('starts afresh after a defect', () => {
    const remembering = createTranslator()
    const set = resourceSetOf([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a', labels: { 'waymark.dev/waypoint': 'auto' } } }])
    assert.throws(() => remembering({ ...set, HTTPRoute: undefined } as never, options))
    assert.deepEqual(inOrder(remembering(set, options)), inOrder(translate(set, options)))
  })
})
