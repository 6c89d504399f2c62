import type { Condition, ObjectStatus, ParentRef } from '../model/status.ts'

/** An entry of a list in which every controller has its own ones, each about one reference of the object. */
export interface NamedEntry {
  readonly ref: ParentRef
  readonly controllerName: string
  readonly conditions: readonly Condition[]
}

/** Such a list, and how it is spelt. */
export interface EntryList {
  readonly field: 'parents' | 'ancestors'
  readonly refField: 'parentRef' | 'ancestorRef'
  readonly entries: readonly NamedEntry[]
}

/** The entries of a route or a policy. */
export function entryList(wanted: Extract<ObjectStatus, { readonly kind: 'route' | 'policy' }>): EntryList {
  return wanted.kind === 'route'
    ? { field: 'parents', refField: 'parentRef', entries: wanted.parents.map(({ parentRef, ...rest }) => ({ ref: parentRef, ...rest })) }
    : { field: 'ancestors', refField: 'ancestorRef', entries: wanted.ancestors.map(({ ancestorRef, ...rest }) => ({ ref: ancestorRef, ...rest })) }
}
