import type { KubeObject } from '../../src/kube/object.ts'
import { versionOf, type ServedKind } from './kinds.ts'
import type { ApiRequest } from './requests.ts'
import { labelSelector } from './selectors.ts'
import { StatusError, type Store, type Writing } from './store.ts'

/** Says why an object is not taken in. */
export type Admit = (object: KubeObject) => string | undefined

/** What a writing request says besides its line and its body. */
export interface Change {
  readonly contentType: string
  readonly manager: string
  readonly admit: Admit | undefined
}

/**
 * Does what a writing request asks for.
 * @returns the answer's status and body
 * @throws StatusError if it can't be done
 */
export function change(store: Store, request: ApiRequest, kind: ServedKind, body: unknown, { contentType, manager, admit }: Change): readonly [status: number, object: object] {
  const { verb, namespace, name, subresource, query } = request
  const writing: Writing = { manager, part: subresource === 'status' ? 'status' : 'main' }
  const named = (given: unknown): KubeObject => {
    const object = checked(given, request, kind)
    return { ...object, apiVersion: versionOf(kind) }
  }
  switch (verb) {
    case 'create': {
      const object = named(body)
      if (subresource === 'eviction') return [201, store.remove(kind, namespace, name)]
      if (object.metadata.resourceVersion !== undefined) throw new StatusError(400, 'BadRequest', 'resourceVersion should not be set on objects to be created')
      return [201, store.create(kind, admitted(object, admit), writing)]
    }
    case 'update': {
      if (subresource === 'scale') return [200, store.patch(kind, namespace, name, scaleOf(body), writing)]
      const object = named(body)
      if (kind.custom && object.metadata.resourceVersion === undefined) {
        throw new StatusError(422, 'Invalid', `${kind.kind} "${name}" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update`)
      }
      return [200, store.update(kind, admitted(object, admit), writing)]
    }
    case 'patch': {
      if (contentType.startsWith('application/apply-patch')) {
        const force = query.get('force') === 'true' || query.get('force') === '1'
        const existed = store.get(kind, namespace, name) !== undefined
        if ((query.get('fieldManager') ?? '') === '') throw new StatusError(422, 'Invalid', 'PatchOptions is invalid: fieldManager: Required value: is required for apply patch')
        return [existed ? 200 : 201, store.apply(kind, admitted(named(body), admit), manager, force, subresource === 'status' ? 'status' : 'main')]
      }
      if (contentType.startsWith('application/merge-patch') || contentType.startsWith('application/strategic-merge-patch')) {
        return [200, store.patch(kind, namespace, name, subresource === 'scale' ? scaleOf(body) : body, writing)]
      }
      throw new StatusError(415, 'UnsupportedMediaType', `the body of the request was in an unknown format - ${contentType}`)
    }
    case 'delete': {
      const given = (body ?? {}) as { propagationPolicy?: string; preconditions?: { uid?: string } }
      const policy = given.propagationPolicy ?? query.get('propagationPolicy')
      return [200, store.remove(kind, namespace, name, given.preconditions?.uid, policy === 'Orphan')]
    }
    case 'deletecollection': {
      const selects = labelSelector(query.get('labelSelector') ?? undefined)
      const found = store.list(kind, namespace === '' ? undefined : namespace).filter(selects)
      for (const { metadata } of found) store.remove(kind, metadata.namespace ?? '', metadata.name)
      return [200, { kind: `${kind.kind}List`, apiVersion: versionOf(kind), metadata: {}, items: found }]
    }
    default:
      throw new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource')
  }
}

function admitted(object: KubeObject, admit: Admit | undefined): KubeObject {
  const problem = admit?.(object)
  if (problem === undefined) return object
  throw new StatusError(422, 'Invalid', `${object.kind} "${object.metadata.name}" is invalid: ${problem}`)
}

/** Checks that a body is an object of the kind and name that its path says. */
function checked(given: unknown, { name, namespace, subresource, verb }: ApiRequest, kind: ServedKind): KubeObject {
  if (typeof given !== 'object' || given === null) throw new StatusError(400, 'BadRequest', 'the body is not an object')
  const object = given as KubeObject
  if (typeof (object.metadata as unknown) !== 'object') throw new StatusError(400, 'BadRequest', 'the object lacks metadata')
  const { metadata } = object
  if (subresource !== 'eviction' && object.kind !== kind.kind) throw new StatusError(400, 'BadRequest', `the object is a ${object.kind}, the path is of ${kind.kind}`)
  if (name !== '' && metadata.name !== name) throw new StatusError(400, 'BadRequest', `the name of the object (${metadata.name}) does not match the name on the URL (${name})`)
  if ((metadata.namespace ?? namespace) !== namespace) throw new StatusError(400, 'BadRequest', 'the namespace of the provided object does not match the namespace sent on the request')
  if (verb === 'create' && kind.namespaced && namespace === '') throw new StatusError(405, 'MethodNotAllowed', 'the namespace is missing')
  return { ...object, metadata: { ...metadata, ...(namespace === '' ? {} : { namespace }) } }
}

function scaleOf(body: unknown): object {
  return { spec: { replicas: (body as { spec?: { replicas?: number } }).spec?.replicas ?? 0 } }
}

/** Source: autoscaling/v1 Scale. */
export function scale({ metadata, spec }: KubeObject): object {
  const { name, namespace, uid, resourceVersion } = metadata
  return { kind: 'Scale', apiVersion: 'autoscaling/v1', metadata: { name, namespace, uid, resourceVersion }, spec: { replicas: (spec as { replicas?: number }).replicas ?? 1 } }
}
