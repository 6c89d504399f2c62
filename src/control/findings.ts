import { policyGroup } from '../api/resources.ts'
import { printable } from '../kit/printable.ts'
import { describeRef, type ObjectRef } from '../model/refs.ts'
import type { Condition, ObjectStatus, ParentRef, Warning } from '../model/status.ts'

/** Something that an object's author should know, wherever it was found out. */
export interface Finding {
  /** `error`: the object, or a part of it, is not in force. */
  readonly severity: 'error' | 'warning'
  readonly ref: ObjectRef
  /** Path of the field, `spec.rules[0]`, or '' for the object. */
  readonly field: string
  /** With conditions of a route's parent or a policy's target: which one it is about. */
  readonly parentRef?: ParentRef
  /** The condition, `Accepted=False (NoMatchingParent)`; '' for a warning. */
  readonly condition: string
  readonly message: string
  /** What would be accepted in its place; '' if the message says it all. */
  readonly expected: string
  readonly advice: string
}

/** What a status says that is not as the object's author wants it. */
export function statusFindings(status: ObjectStatus): readonly Finding[] {
  switch (status.kind) {
    case 'route':
      return unique(status.parents.flatMap(({ parentRef, conditions }) => conditions.flatMap((each) => ofCondition(status.ref, each, parentRef))))
    case 'policy':
      return unique(status.ancestors.flatMap(({ ancestorRef, conditions }) => conditions.flatMap((each) => ofCondition(status.ref, each, ancestorRef))))
    case 'gateway':
      return [
        ...status.conditions.flatMap((each) => ofCondition(status.ref, each)),
        ...status.listeners.flatMap(({ conditions }, at) => conditions.flatMap((each) => ofCondition(status.ref, each, undefined, `spec.listeners[${at}]`))),
      ]
    case 'gatewayclass':
      return status.conditions.flatMap((each) => ofCondition(status.ref, each))
  }
}

/** A warning of the translation as a finding. */
export function warningFinding({ ref, field, message, advice }: Warning): Finding {
  return { severity: 'warning', ref, field, condition: '', message, expected: '', advice }
}

/** `Kind ns/name field: parent x: Condition=False (Reason): message; expected …; advice`, in one line. */
export function describeFinding({ ref, field, parentRef, condition, message, expected, advice }: Finding): string {
  const subject = field === '' ? describeRef(ref) : `${describeRef(ref)} ${field}`
  const parts = [subject, ...(parentRef === undefined ? [] : [`${ref.group === policyGroup ? 'target' : 'parent'} ${parentRef.name}`]), ...(condition === '' ? [] : [condition]), message]
  return printable([parts.join(': '), ...(expected === '' ? [] : [`expected ${expected}`]), ...(advice === '' ? [] : [advice])].join('; '))
}

function ofCondition(ref: ObjectRef, condition: Condition, parentRef?: ParentRef, field = ''): readonly Finding[] {
  const severity = severityOf(condition)
  if (severity === undefined) return []
  const { expected, advice } = help[condition.reason] ?? nothing
  const base = { severity, ref, condition: `${condition.type}=${condition.status} (${condition.reason})`, expected, advice }
  // These are the rules' own and the same for every parent; all else is about one of the parents.
  if (condition.type === 'ResolvedRefs' || condition.type === 'PartiallyInvalid') {
    return byRule(condition.message).map(({ rule, message }) => ({ ...base, field: rule === undefined ? field : `spec.rules[${rule}]`, message }))
  }
  return [{ ...base, field, ...(parentRef === undefined ? {} : { parentRef }), message: condition.message }]
}

function severityOf({ type, status, reason }: Condition): Finding['severity'] | undefined {
  switch (type) {
    case 'Enforced':
      return status === 'False' && reason !== 'Pending' ? 'error' : undefined
    case 'Accepted':
    case 'ResolvedRefs':
      return status === 'False' ? 'error' : undefined
    case 'PartiallyInvalid':
      return status === 'True' ? 'error' : undefined
    case 'waymark.dev/Programmed':
      // That a data plane is still to take it over can't be told from manifests; that there is none can.
      return reason === 'NoWaypoint' ? 'warning' : undefined
    case 'waymark.dev/AppliesToAllNamespaces':
      return status === 'False' ? 'warning' : undefined
    default:
      return undefined
  }
}

/** Parts a message of `rule 0: …; rule 2: …` into one for each rule. */
function byRule(message: string): readonly { readonly rule: number | undefined; readonly message: string }[] {
  const text = message.replace(/^Dropped Rule\(s\): /, '')
  const parts = text.split(/; (?=rule \d+: |and \d+ more$)/).map((part) => {
    const found = /^rule (\d+): (.*)$/s.exec(part)
    return { rule: found === null ? undefined : Number(found[1]), message: found?.[2] ?? part }
  })
  return parts.every(({ rule }) => rule === undefined) ? [{ rule: undefined, message }] : parts
}

function unique(findings: readonly Finding[]): readonly Finding[] {
  const lines = new Map(findings.map((each) => [describeFinding(each) + JSON.stringify(each.parentRef), each]))
  return [...lines.values()]
}

const nothing = { expected: '', advice: '' } as const

/** What helps, by the reason of a condition. The reasons are Gateway API's, but for those of our own kinds. */
export const help: Readonly<Record<string, { readonly expected: string; readonly advice: string }>> = {
  NoMatchingParent: {
    expected: 'a Service of type ClusterIP, one of its ports, or a Gateway of class waypoint',
    advice: 'correct name, namespace, port and sectionName of the parentRef',
  },
  NotAllowedByListeners: { expected: '', advice: 'see allowedRoutes of the Gateway\'s listener' },
  UnsupportedValue: { expected: '', advice: 'change what the message names; the rest of the object stays in force' },
  Conflicted: { expected: '', advice: 'remove one of the two, or let them name different ports' },
  BackendNotFound: { expected: '', advice: 'create it, or correct the reference; until then such requests get 500' },
  InvalidKind: { expected: '', advice: 'refer to a kind that this mesh knows; until then such requests get 500' },
  RefNotPermitted: { expected: 'a ReferenceGrant in the other namespace', advice: 'create one there that allows this kind from this namespace' },
  UnsupportedProtocol: { expected: '', advice: 'correct the protocol or the Service port\'s appProtocol' },
  PortUnavailable: { expected: 'port 15008', advice: 'correct the listener\'s port' },
  ListenersNotValid: { expected: '', advice: 'add the listener {name: mesh, port: 15008, protocol: HBONE}' },
  InvalidRouteKinds: { expected: 'HTTPRoute, GRPCRoute, TLSRoute or TCPRoute', advice: 'correct allowedRoutes.kinds' },
  Unsupported: { expected: 'the name waypoint', advice: 'rename the class, or leave it out: the mesh needs none' },
  TargetNotFound: { expected: '', advice: 'correct the targetRef, or create what it names: until then nothing is guarded by it' },
  Invalid: { expected: '', advice: 'correct the rules that the message names; until then they allow nobody and deny everybody' },
  WaypointMissing: { expected: '', advice: 'give the namespace a waypoint, or say nothing of requests; until then the policy counts against every caller' },
  NotInMesh: { expected: '', advice: 'enrol the pods, or give the Service a waypoint; until then nobody in the mesh may go there' },
  HostNetwork: { expected: '', advice: 'give their Service a waypoint and keep others away by a firewall, or take hostNetwork from the pods' },
  HttpOnPods: { expected: '', advice: 'name Services, routes or the Gateway by targetRefs in place of the selector' },
  Overridden: { expected: '', advice: 'nothing to do if the other policy is meant to count' },
  ConsumerRoutes: { expected: '', advice: 'nothing to do if those namespaces mean it' },
}
