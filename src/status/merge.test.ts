import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Condition, ObjectStatus, ParentRef } from '../model/status.ts'
import { mergeStatus, withoutPassing } from './merge.ts'

const ours = 'waymark.dev/waypoint-controller'
const other = 'example.com/gateway'
const nowMs = Date.parse('2026-05-01T10:00:00.789Z')
const now = '2026-05-01T10:00:00Z'
const earlier = '2026-04-01T00:00:00Z'
const context = { controllerName: ours, nowMs }

const condition = (type: string, status: Condition['status'] = 'True', reason = 'Fine', observedGeneration = 1): Condition => ({
  type, status, reason, message: `${type} is ${status}`, observedGeneration,
})
const at = (lastTransitionTime: string, ...args: Parameters<typeof condition>): object => ({ ...condition(...args), lastTransitionTime })
const service = (name: string, port?: number): ParentRef => ({ group: '', kind: 'Service', name, ...(port === undefined ? {} : { port }) })
const entry = (parentRef: ParentRef, conditions: readonly object[], controllerName = ours): object => ({ parentRef, controllerName, conditions })
const route = (...parents: readonly (readonly [ParentRef, readonly Condition[]])[]): ObjectStatus => ({
  kind: 'route',
  ref: { group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: 'shop', name: 'r' },
  parents: parents.map(([parentRef, conditions]) => ({ parentRef, controllerName: ours, conditions })),
})
const gateway = (fields: Partial<Extract<ObjectStatus, { kind: 'gateway' }>>): ObjectStatus => ({
  kind: 'gateway', ref: { group: 'gateway.networking.k8s.io', kind: 'Gateway', namespace: 'shop', name: 'waypoint' },
  addresses: [], conditions: [], listeners: [], ...fields,
})

describe('the status of a route, merged', () => {
  const cases: readonly { rule: string; current: unknown; wanted: ObjectStatus; merged: unknown }[] = [
    {
      rule: 'gets an entry for each parentRef, its times those of now',
      current: undefined, wanted: route([service('a'), [condition('Accepted')]], [service('b'), []]),
      merged: { parents: [entry(service('a'), [at(now, 'Accepted')]), entry(service('b'), [])] },
    },
    {
      rule: 'is not written if it stands there already, whatever the order of fields',
      current: { parents: [{ conditions: [at(earlier, 'Accepted')], controllerName: ours, parentRef: { name: 'a', kind: 'Service', group: '' } }] },
      wanted: route([service('a'), [condition('Accepted')]]),
      merged: undefined,
    },
    {
      rule: 'is not written if nothing is wanted and nothing of ours stands there',
      current: { parents: [entry(service('a'), [], other)] }, wanted: route(), merged: undefined,
    },
    {
      rule: 'keeps the time while the status stays, and takes over reason, message and generation',
      current: { parents: [entry(service('a'), [at(earlier, 'Accepted', 'True', 'Fine', 1)])] },
      wanted: route([service('a'), [condition('Accepted', 'True', 'Better', 2)]]),
      merged: { parents: [entry(service('a'), [at(earlier, 'Accepted', 'True', 'Better', 2)])] },
    },
    {
      rule: 'moves the time when the status moves',
      current: { parents: [entry(service('a'), [at(earlier, 'Accepted'), at(earlier, 'ResolvedRefs')])] },
      wanted: route([service('a'), [condition('Accepted', 'False'), condition('ResolvedRefs')]]),
      merged: { parents: [entry(service('a'), [at(now, 'Accepted', 'False'), at(earlier, 'ResolvedRefs')])] },
    },
    {
      rule: 'loses our entries whose parentRef went, and only those',
      current: { parents: [entry(service('a'), []), entry(service('a'), [], other), entry(service('b'), [])] },
      wanted: route([service('b'), []]),
      merged: { parents: [entry(service('a'), [], other), entry(service('b'), [])] },
    },
    {
      rule: 'loses all our entries when the route is not ours any more',
      current: { parents: [entry(service('a'), []), entry(service('x'), [], other)] }, wanted: route(),
      merged: { parents: [entry(service('x'), [], other)] },
    },
    {
      rule: 'tells parentRefs apart by port and section',
      current: { parents: [entry(service('a'), [at(earlier, 'Accepted')])] },
      wanted: route([service('a', 80), [condition('Accepted')]]),
      merged: { parents: [entry(service('a', 80), [at(now, 'Accepted')])] },
    },
    {
      rule: 'knows a parentRef again into which the API server filled the defaults',
      current: { parents: [entry({ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'g' }, [at(earlier, 'Accepted')])] },
      wanted: route([{ name: 'g' }, [condition('Accepted')]]),
      merged: undefined,
    },
    {
      rule: 'keeps one of two entries of ours for one parentRef',
      current: { parents: [entry(service('a'), []), entry(service('a'), [])] }, wanted: route([service('a'), []]),
      merged: { parents: [entry(service('a'), [])] },
    },
    {
      rule: 'drops conditions of ours that are over, and keeps those of another\'s domain',
      current: { parents: [entry(service('a'), [at(earlier, 'PartiallyInvalid'), at(earlier, 'example.com/Seen'), at(earlier, 'waymark.dev/Old'), at(earlier, 'Accepted')])] },
      wanted: route([service('a'), [condition('Accepted')]]),
      merged: { parents: [entry(service('a'), [at(earlier, 'example.com/Seen'), at(earlier, 'Accepted')])] },
    },
    {
      rule: 'survives what no schema allows',
      current: { parents: [null, 'x', { controllerName: ours }, { controllerName: ours, parentRef: 7, conditions: 'y' }], more: 1 },
      wanted: route([service('a'), []]),
      merged: { parents: [null, 'x', entry(service('a'), [])], more: 1 },
    },
  ]
  for (const { rule, current, wanted, merged } of cases) {
    it(rule, () => assert.deepEqual(mergeStatus(current, wanted, context), merged))
  }

  it('keeps a message within what the CRD allows', () => {
    const long = { ...condition('Accepted'), message: 'ä'.repeat(40_000) }
    const merged = mergeStatus(undefined, route([service('a'), [long]]), context) as { parents: { conditions: { message: string }[] }[] }
    assert.ok(merged.parents[0]!.conditions[0]!.message.length <= 32_768)
    assert.equal(mergeStatus(merged, route([service('a'), [long]]), context), undefined)
  })
})

describe('the status of a Gateway, merged', () => {
  it('takes the place of what the CRD says by default, and keeps conditions and fields of others', () => {
    const current = {
      attachedListenerSets: 2,
      conditions: [at('1970-01-01T00:00:00Z', 'Accepted', 'Unknown', 'Pending'), at(earlier, 'Scheduled'), at(earlier, 'waymark.dev/Old')],
    }
    assert.deepEqual(mergeStatus(current, gateway({ conditions: [condition('Accepted'), condition('Programmed')], addresses: [{ type: 'IPAddress', value: '10.0.0.1' }] }), context), {
      attachedListenerSets: 2,
      addresses: [{ type: 'IPAddress', value: '10.0.0.1' }],
      conditions: [at(now, 'Accepted'), at(earlier, 'Scheduled'), at(now, 'Programmed')],
      listeners: [],
    })
  })

  it('has the listeners of the spec, each with its own times', () => {
    const listener = { name: 'mesh', attachedRoutes: 2, supportedKinds: [{ group: 'g', kind: 'HTTPRoute' }], conditions: [condition('Accepted')] }
    const current = { listeners: [{ name: 'gone', attachedRoutes: 0, conditions: [] }, { name: 'mesh', attachedRoutes: 1, conditions: [at(earlier, 'Accepted')] }] }
    const merged = mergeStatus(current, gateway({ listeners: [listener] }), context)
    assert.deepEqual(merged?.['listeners'], [{ ...listener, conditions: [at(earlier, 'Accepted')] }])
    assert.equal(mergeStatus(merged, gateway({ listeners: [listener] }), context), undefined)
  })

  it('is not written for lists that are empty and not there', () => {
    assert.equal(mergeStatus({}, gateway({}), context), undefined)
    assert.equal(mergeStatus(undefined, gateway({}), context), undefined)
  })
})

describe('the status of a GatewayClass, merged', () => {
  it('lists the features sorted, once each', () => {
    const wanted: ObjectStatus = {
      kind: 'gatewayclass', ref: { group: 'gateway.networking.k8s.io', kind: 'GatewayClass', namespace: '', name: 'waypoint' },
      conditions: [condition('Accepted')], supportedFeatures: [{ name: 'Mesh' }, { name: 'GRPCRoute' }, { name: 'Mesh' }],
    }
    const merged = mergeStatus({ conditions: [at(earlier, 'SupportedVersion')] }, wanted, context)
    assert.deepEqual(merged, {
      conditions: [at(earlier, 'SupportedVersion'), at(now, 'Accepted')], supportedFeatures: [{ name: 'GRPCRoute' }, { name: 'Mesh' }],
    })
    assert.equal(mergeStatus(merged, wanted, context), undefined)
  })
})

describe('any status of a route, merged', () => {
  const parentRef = fc.record({ group: fc.constantFrom('', 'core'), kind: fc.constant('Service'), name: fc.constantFrom('a', 'b', 'c'), port: fc.constantFrom(80, 81) }, { requiredKeys: ['name'] }) as fc.Arbitrary<ParentRef>
  const conditions = fc.uniqueArray(
    fc.record({ type: fc.constantFrom('Accepted', 'ResolvedRefs', 'waymark.dev/Programmed', 'example.com/X'), status: fc.constantFrom<Condition['status'][]>('True', 'False', 'Unknown'), reason: fc.constantFrom('A', 'Pending'), message: fc.string(), observedGeneration: fc.nat(3) }),
    { selector: ({ type }) => type },
  )
  const unique = { selector: (each: { parentRef: ParentRef }): string => JSON.stringify([each.parentRef.group ?? 'gateway.networking.k8s.io', each.parentRef.kind ?? 'Gateway', each.parentRef.name, each.parentRef.port]) }
  const standing = fc.record({
    parents: fc.array(fc.record({ parentRef, controllerName: fc.constantFrom(ours, other, 'third.io/x'), conditions: conditions.map((all) => all.map((each) => ({ ...each, lastTransitionTime: earlier }))) }), { maxLength: 8 }),
  })
  const wanted = fc.uniqueArray(fc.record({ parentRef, controllerName: fc.constant(ours), conditions }), { ...unique, maxLength: 4 }).map((parents): ObjectStatus => ({ ...route(), parents } as ObjectStatus))

  it('needs no second write', () => {
    fc.assert(fc.property(standing, wanted, (current, status) => {
      const merged = mergeStatus(current, status, context)
      assert.equal(mergeStatus(JSON.parse(JSON.stringify(merged ?? current)), status, { ...context, nowMs: nowMs + 60_000 }), undefined)
    }))
  })

  it('leaves the entries of others byte for byte and in their order', () => {
    fc.assert(fc.property(standing, wanted, (current, status) => {
      const foreign = (parents: unknown): string => JSON.stringify((parents as { controllerName: string }[]).filter(({ controllerName }) => controllerName !== ours))
      const before = JSON.stringify(current)
      const merged = mergeStatus(current, status, context)
      assert.equal(foreign((merged ?? current)['parents']), foreign(current.parents))
      assert.equal(JSON.stringify(current), before, 'and its input')
    }))
  })

  it('has exactly the wanted entries, whatever the order of those that stand there', () => {
    fc.assert(fc.property(standing.chain((current) => fc.tuple(fc.constant(current), fc.shuffledSubarray(current.parents, { minLength: current.parents.length }))), wanted, ([current, shuffled], status) => {
      const keys = (parents: unknown): string[] => (parents as { controllerName: string; parentRef: ParentRef }[]).filter(({ controllerName }) => controllerName === ours).map((each) => unique.selector(each)).sort()
      const wantedKeys = status.kind === 'route' ? status.parents.map((each) => unique.selector(each)).sort() : []
      for (const parents of [current.parents, shuffled]) {
        assert.deepEqual(keys((mergeStatus({ parents }, status, context) ?? { parents })['parents']), wantedKeys)
      }
    }))
  })
})

describe('what only passes', () => {
  const pending = condition('waymark.dev/Programmed', 'False', 'Pending')
  const cases: readonly [rule: string, current: object, wanted: Condition, held: boolean][] = [
    ['is that something becomes pending which held', at(earlier, 'waymark.dev/Programmed'), pending, true],
    ['is not that something is pending for a new generation', at(earlier, 'waymark.dev/Programmed', 'True', 'Fine', 0), pending, false],
    ['is not that something stays pending', at(earlier, 'waymark.dev/Programmed', 'False', 'NoWaypoint'), pending, false],
    ['is not that something fails for another reason', at(earlier, 'waymark.dev/Programmed'), condition('waymark.dev/Programmed', 'False', 'NoWaypoint'), false],
  ]
  for (const [rule, before, after, held] of cases) {
    it(rule, () => {
      const wanted = route([service('a'), [condition('Accepted'), after]])
      const current = { parents: [entry(service('a'), [at(earlier, 'Accepted'), before])] }
      const calm = withoutPassing(current, wanted, ours)
      assert.equal(calm === wanted, !held)
      assert.equal(mergeStatus(current, calm, context) === undefined, held)
    })
  }

  it('is found in a Gateway and its listeners, and leaves what else changed', () => {
    const listener = { name: 'mesh', attachedRoutes: 2, supportedKinds: [], conditions: [condition('Programmed', 'False', 'Pending')] }
    const wanted = gateway({ conditions: [condition('Programmed', 'False', 'Pending')], listeners: [listener] })
    const current = { conditions: [at(earlier, 'Programmed')], listeners: [{ name: 'mesh', attachedRoutes: 1, supportedKinds: [], conditions: [at(earlier, 'Programmed')] }] }
    assert.deepEqual(mergeStatus(current, withoutPassing(current, wanted, ours), context), {
      ...current, addresses: [], listeners: [{ ...current.listeners[0], attachedRoutes: 2 }],
    })
  })
})
