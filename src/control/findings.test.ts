import assert from 'node:assert/strict'
import type { Condition, ObjectStatus } from '../model/status.ts'
import { describeFinding, statusFindings } from './findings.ts'

const condition = (type: string, status: Condition['status'], reason: string, message = 'm'): Condition => ({ type, status, reason, message, observedGeneration: 1 })

const route = (...conditions: readonly Condition[][]): ObjectStatus => ({
  kind: 'route',
  ref: { group: 'g', kind: 'HTTPRoute', namespace: 'shop', name: 'r' },
  parents: conditions.map((each, at) => ({ parentRef: { group: '', kind: 'Service', name: `s${at}` }, controllerName: 'c', conditions: each })),
})

const severities = (status: ObjectStatus): readonly string[] => statusFindings(status).map(({ severity, condition: words }) => `${severity} ${words}`)

describe('findings of a status', () => {
  it('are errors where something is not in force', () => {
    assert.deepEqual(severities(route([condition('Accepted', 'False', 'NoMatchingParent'), condition('ResolvedRefs', 'False', 'BackendNotFound'), condition('PartiallyInvalid', 'True', 'UnsupportedValue')])), [
      'error Accepted=False (NoMatchingParent)', 'error ResolvedRefs=False (BackendNotFound)', 'error PartiallyInvalid=True (UnsupportedValue)',
    ])
  })

  it('are warnings where a route is in force for nobody or not for everybody', () => {
    assert.deepEqual(severities(route([condition('waymark.dev/Programmed', 'False', 'NoWaypoint'), condition('waymark.dev/AppliesToAllNamespaces', 'False', 'ConsumerRoutes')])), [
      'warning waymark.dev/Programmed=False (NoWaypoint)', 'warning waymark.dev/AppliesToAllNamespaces=False (ConsumerRoutes)',
    ])
  })

  it('are none where all is well, or only a data plane is waited for', () => {
    assert.deepEqual(severities(route([condition('Accepted', 'True', 'Accepted'), condition('ResolvedRefs', 'True', 'ResolvedRefs'), condition('waymark.dev/Programmed', 'False', 'Pending'), condition('waymark.dev/Programmed', 'Unknown', 'Pending')])), [])
  })

  it('name each rule of a message by its field, once for all parents', () => {
    const both = [condition('ResolvedRefs', 'False', 'BackendNotFound', 'rule 0: a is missing; see b; rule 12: c is missing')]
    assert.deepEqual(statusFindings(route(both, both)).map(({ field, message }) => [field, message]), [
      ['spec.rules[0]', 'a is missing; see b'], ['spec.rules[12]', 'c is missing'],
    ])
    const dropped = [condition('PartiallyInvalid', 'True', 'UnsupportedValue', 'Dropped Rule(s): rule 1: bad')]
    assert.deepEqual(statusFindings(route(dropped)).map(({ field, message }) => [field, message]), [['spec.rules[1]', 'bad']])
  })

  it('say for which parent a route is refused, for each of them', () => {
    const refused = [condition('Accepted', 'False', 'NoMatchingParent', 'there is none')]
    assert.deepEqual(statusFindings(route(refused, refused)).map(describeFinding).map((line) => line.split(';')[0]), [
      'HTTPRoute shop/r: parent s0: Accepted=False (NoMatchingParent): there is none',
      'HTTPRoute shop/r: parent s1: Accepted=False (NoMatchingParent): there is none',
    ])
  })

  it('of a Gateway name the listener', () => {
    const findings = statusFindings({
      kind: 'gateway', ref: { group: 'g', kind: 'Gateway', namespace: 'shop', name: 'w' }, addresses: [], conditions: [],
      listeners: [
        { name: 'good', attachedRoutes: 0, supportedKinds: [], conditions: [condition('Accepted', 'True', 'Accepted')] },
        { name: 'bad', attachedRoutes: 0, supportedKinds: [], conditions: [condition('Accepted', 'False', 'PortUnavailable', 'port 80')] },
      ],
    })
    assert.deepEqual(findings.map(describeFinding), ['Gateway shop/w spec.listeners[1]: Accepted=False (PortUnavailable): port 80; expected port 15008; correct the listener\'s port'])
  })
})
