import assert from 'node:assert/strict'
import type { Condition, ObjectStatus } from '../model/status.ts'
import { eventOf, statusNotices, warningNotice, type Notice, type Unresolved } from './events.ts'
import { mergeStatus } from './merge.ts'

const controllerName = 'waymark.dev/waypoint-controller'
const ref = { group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: 'shop', name: 'r' }
const condition = (type: string, status: Condition['status'], reason: string, observedGeneration = 1): Condition => ({ type, status, reason, message: `because ${reason}`, observedGeneration })
const routeOf = (...conditions: Condition[]): ObjectStatus => ({ kind: 'route', ref, parents: [{ parentRef: { group: '', kind: 'Service', name: 'a', port: 80 }, controllerName, conditions }] })
const gatewayOf = (...conditions: Condition[]): ObjectStatus => ({ kind: 'gateway', ref, addresses: [], conditions, listeners: [{ name: 'mesh', attachedRoutes: 0, supportedKinds: [], conditions }] })

/** Writes each status in turn; what was told at each write. */
function story(...statuses: readonly ObjectStatus[]): string[][] {
  const unresolved: Unresolved = new Set()
  let current: unknown
  return statuses.map((wanted, at) => {
    const merged = mergeStatus(current, wanted, { controllerName, nowMs: at * 60_000 })
    if (merged === undefined) return []
    const notices = statusNotices(current, merged, wanted, unresolved, (reason) => (reason === 'BackendNotFound' ? 'create it' : undefined))
    current = merged
    return notices.map(({ type, reason, note }) => `${type} ${reason}: ${note}`)
  })
}

const accepted = condition('Accepted', 'True', 'Accepted')
const resolved = condition('ResolvedRefs', 'True', 'ResolvedRefs')
const missing = condition('ResolvedRefs', 'False', 'BackendNotFound')

describe('notices of a route', () => {
  it('are none while all is well, from the first write on', () => {
    assert.deepEqual(story(routeOf(accepted, resolved), routeOf({ ...accepted, message: 'in other words' }, resolved)), [[], []])
  })

  it('tell what turned bad, with what to do, and that it is good again, once each', () => {
    assert.deepEqual(story(routeOf(accepted, missing), routeOf({ ...accepted, observedGeneration: 2 }, missing), routeOf(accepted, resolved)), [
      ['Warning BackendNotFound: because BackendNotFound; create it'], [], ['Normal ResolvedRefs: because ResolvedRefs'],
    ])
  })

  it('tell another reason for what is bad already', () => {
    assert.deepEqual(story(routeOf(accepted, missing), routeOf(accepted, condition('ResolvedRefs', 'False', 'InvalidKind')))[1], ['Warning InvalidKind: because InvalidKind'])
  })

  it('name the parent if it is about that one', () => {
    assert.deepEqual(story(routeOf(condition('Accepted', 'False', 'NoMatchingParent'), resolved)), [['Warning NoMatchingParent: parent Service a port 80: because NoMatchingParent']])
  })

  it('tell of conditions that come only when something is bad, and that they went', () => {
    assert.deepEqual(story(routeOf(accepted, condition('PartiallyInvalid', 'True', 'UnsupportedValue')), routeOf(accepted)), [
      ['Warning UnsupportedValue: because UnsupportedValue'], ['Normal Resolved: parent Service a port 80: PartiallyInvalid is no longer said'],
    ])
  })

  it('do not tell that a waypoint is still to take it over, but that there is none, and when there is one', () => {
    const programmed = (status: Condition['status'], reason: string): ObjectStatus => routeOf(accepted, condition('waymark.dev/Programmed', status, reason))
    assert.deepEqual(story(programmed('False', 'Pending'), programmed('True', 'Programmed'), programmed('False', 'NoWaypoint'), programmed('False', 'Pending'), programmed('True', 'Programmed')), [
      [], [], ['Warning NoWaypoint: parent Service a port 80: because NoWaypoint'], [], ['Normal Programmed: parent Service a port 80: because Programmed'],
    ])
  })

  it('are the same for what several parents say alike, told once', () => {
    const two: ObjectStatus = { kind: 'route', ref, parents: [80, 81].map((port) => ({ parentRef: { name: 'a', port }, controllerName, conditions: [missing] })) }
    assert.equal(story(two)[0]!.length, 1)
  })

  it('say nothing about the entries of others', () => {
    const before = { parents: [{ parentRef: { name: 'a' }, controllerName: 'example.com/x', conditions: [accepted] }] }
    const after = { parents: [{ parentRef: { name: 'a' }, controllerName: 'example.com/x', conditions: [missing] }] }
    assert.deepEqual(statusNotices(before, after, routeOf(accepted), new Set(), () => undefined), [])
  })
})

describe('notices of a Gateway', () => {
  const programmed = (status: Condition['status'], reason: string, generation = 1): ObjectStatus => gatewayOf(accepted, condition('Programmed', status, reason, generation))

  it('tell that a waypoint is lost, and that it is back, but not that a new one is still to come', () => {
    assert.deepEqual(story(programmed('False', 'Pending'), programmed('False', 'AddressNotAssigned'), programmed('True', 'Programmed'), programmed('False', 'Pending'), programmed('False', 'AddressNotAssigned'), programmed('True', 'Programmed')), [
      [], [], [], ['Warning Pending: because Pending'], [], ['Normal Programmed: because Programmed'],
    ])
  })

  it('do not tell that an edit is still to be taken over', () => {
    assert.deepEqual(story(programmed('True', 'Programmed', 1), programmed('False', 'Pending', 2), programmed('True', 'Programmed', 2)), [[], [], []])
  })

  it('tell once what is refused', () => {
    assert.deepEqual(story({ ...gatewayOf(condition('Accepted', 'False', 'Conflicted'), condition('Programmed', 'False', 'Invalid')), listeners: [] } as ObjectStatus), [['Warning Conflicted: because Conflicted']])
  })
})

describe('an Event', () => {
  const object = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: { name: 'r', namespace: 'shop', uid: 'u-1' } }
  const reporter = { controllerName, instance: 'waymark-controller-7' }
  const notice: Notice = { type: 'Warning', reason: 'BackendNotFound', note: 'no such Service', identity: ['x'] }

  it('is what the API asks for', () => {
    const { metadata: { name, ...metadata }, ...event } = eventOf(object, notice, reporter, Date.parse('2026-05-01T10:00:00.007Z'))
    assert.match(name, /^r\.[0-9a-f]{16}$/)
    assert.deepEqual({ metadata, ...event }, {
      apiVersion: 'events.k8s.io/v1', kind: 'Event', metadata: { namespace: 'shop' }, eventTime: '2026-05-01T10:00:00.007000Z',
      reportingController: controllerName, reportingInstance: 'waymark-controller-7', action: 'Configure', type: 'Warning',
      reason: 'BackendNotFound', note: 'no such Service',
      regarding: { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', name: 'r', namespace: 'shop', uid: 'u-1' },
    })
  })

  it('stands in the namespace default if its object has none', () => {
    assert.equal(eventOf({ ...object, metadata: { name: 'waypoint' } }, notice, reporter, 0).metadata.namespace, 'default')
  })

  it('has the same name whoever tells it and when, and another for another object or notice', () => {
    const name = (of: typeof object, what: Notice, at: number, who = reporter): string => eventOf(of, what, who, at).metadata.name
    const first = name(object, notice, 0)
    assert.equal(name(object, notice, 99_000, { controllerName, instance: 'waymark-controller-8' }), first)
    assert.notEqual(name({ ...object, metadata: { ...object.metadata, uid: 'u-2' } }, notice, 0), first)
    assert.notEqual(name(object, { ...notice, identity: ['y'] }, 0), first)
  })

  it('keeps within the limits of the API, in whole characters, without controls', () => {
    const event = eventOf({ ...object, metadata: { ...object.metadata, name: `${'a'.repeat(229)}.${'b'.repeat(23)}` } }, { ...notice, note: `\u001b[31m${'€'.repeat(900)}`, reason: 'R'.repeat(300) }, { ...reporter, instance: 'i'.repeat(200) }, 0)
    assert.ok(Buffer.byteLength(String(event['note'])) <= 1024)
    assert.match(String(event['note']), /^\\u001b\[31m€+…$/)
    assert.ok(String(event['reason']).length <= 128 && String(event['reportingInstance']).length <= 128)
    assert.match(event.metadata.name, /^a{229}\.[0-9a-f]{16}$/)
  })

  it('of a warning says where and what to do, and is the same after an edit that leaves it', () => {
    const warning = { ref, field: 'spec.hostnames', message: 'has no effect', advice: 'remove it' }
    assert.deepEqual(warningNotice(warning), { type: 'Warning', reason: 'ConfigurationWarning', note: 'spec.hostnames: has no effect; remove it', identity: ['warning', 'spec.hostnames', 'has no effect'] })
    assert.equal(warningNotice({ ...warning, field: '', advice: '' }).note, 'has no effect')
  })
})
