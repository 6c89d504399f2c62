import type { CaState } from '../../../ca/bundle.ts'
import { CaError } from '../../../ca/errors.ts'
import { whyNotNext, type RotationTrace } from '../../../ca/follow.ts'
import { formatState, parseState, type CaStore } from '../../../ca/store.ts'
import type { KubeClient } from '../../kube/client.ts'
import { isStatus } from '../../kube/errors.ts'
import type { KubeObject } from '../../kube/object.ts'
import type { KubeRef } from '../../kube/paths.ts'
import { install, managedBy, managedByLabel } from '../../model/install.ts'
import { caNames } from './names.ts'

/** What the Secret is at one moment. */
export type Kept =
  | { readonly kind: 'gone' }
  /** Something is there that is no CA. */
  | { readonly kind: 'broken'; readonly error: CaError }
  | { readonly kind: 'kept'; readonly state: CaState; readonly annotations: Readonly<Record<string, string>> }

/** A CA in a Secret, which several controllers share. */
export interface SecretStore extends CaStore {
  /** Reads the Secret, and from then on `save` replaces just what was seen. @throws {KubeError} */
  readonly look: () => Promise<Kept>
  /** What the mesh remembers of its CA, see `markerOf`. @throws {KubeError} */
  readonly marker: () => Promise<ReturnType<typeof markerOf>>
}

export interface SecretStoreOptions {
  readonly client: KubeClient
  /** The controller's. */
  readonly namespace: string
}

/** How often a save is tried again that only lost against changes of labels and annotations. */
const maxTries = 5

/**
 * A store in the Secret `waymark-ca`. The ConfigMap with the bundle is its memory: where that one knows a CA, a Secret that is gone is a loss, not
 * a beginning, and one with another CA is refused.
 *
 * `load` throws `store-lost`, `store-corrupt`, `store-changed`; `save` throws `store-lost` or `store-changed` if the Secret went or holds another
 * CA than was last seen, and then has written nothing; all throw `KubeError`.
 */
export function secretStore({ client, namespace }: SecretStoreOptions): SecretStore {
  const ref: KubeRef = { apiVersion: 'v1', kind: 'Secret', namespace, name: install.caSecret }
  const path = `Secret ${namespace}/${install.caSecret}`
  let seen: KubeObject | undefined

  const look = async (): Promise<Kept> => {
    seen = await client.read(ref)
    if (seen === undefined) return { kind: 'gone' }
    try {
      return { kind: 'kept', state: stateOf(seen, path), annotations: seen.metadata.annotations ?? {} }
    } catch (error) {
      if (error instanceof CaError) return { kind: 'broken', error }
      throw error
    }
  }

  const loadOrThrow = async (): Promise<CaState | undefined> => {
    const kept = await look()
    if (kept.kind === 'broken') throw kept.error
    return kept.kind === 'kept' ? kept.state : undefined
  }

  const readMarker = async (): Promise<ReturnType<typeof markerOf>> =>
    markerOf(await client.read({ apiVersion: 'v1', kind: 'ConfigMap', namespace, name: install.bundleConfigMap }))

  return {
    look,
    marker: readMarker,
    load: async () => {
      const first = await loadOrThrow()
      const marker = await readMarker()
      if (marker === undefined) return first
      // Another controller may have made both since the first look.
      const state = first ?? (await loadOrThrow())
      if (state === undefined) throw new CaError('store-lost', `${path} is gone, and ConfigMap ${namespace}/${install.bundleConfigMap} knows that this mesh has a CA`)
      const why = marker === 'unreadable' ? undefined : whyNotNext(marker, state.rotation)
      if (why !== undefined) throw new CaError('store-changed', `${path} does not hold this mesh's CA, by what ConfigMap ${namespace}/${install.bundleConfigMap} knows: ${why}`)
      return state
    },
    create: async (state) => {
      try {
        seen = await client.create(firstSecret(namespace, state))
        return state
      } catch (error) {
        if (!isStatus(error, 409)) throw error
        const theirs = await loadOrThrow()
        if (theirs === undefined) throw new CaError('store-lost', `${path} came and went while the controller started`, { cause: error })
        return theirs
      }
    },
    save: async (state) => {
      for (let tries = 1; ; tries++) {
        const base = seen
        if (base === undefined) throw new CaError('store-lost', `${path} is gone`)
        try {
          seen = await client.replace({ ...base, data: { ...dataOf(base), [caNames.secretKey]: encode(state) } })
          return
        } catch (error) {
          if (!isStatus(error, 404, 409) || tries === maxTries) throw error
          seen = await client.read(ref)
          if (seen !== undefined && dataOf(seen)[caNames.secretKey] !== dataOf(base)[caNames.secretKey]) {
            throw new CaError('store-changed', `${path} was changed by another writer`, { cause: error })
          }
        }
      }
    },
  }
}

/** What the ConfigMap remembers of the CA. @returns undefined if it remembers none, `unreadable` if it knows that there was one and no more */
export function markerOf(configMap: KubeObject | undefined): RotationTrace | 'unreadable' | undefined {
  const { [caNames.generation]: generation, [caNames.phase]: phase, [caNames.roots]: roots } = configMap?.metadata.annotations ?? {}
  if (generation === undefined && roots === undefined) return undefined
  const trusted = roots?.split(',') ?? []
  const whole = /^\d{1,9}$/.test(generation ?? '') && trusted.every((each) => /^[0-9a-f]{64}$/.test(each))
  if (!whole || (phase !== 'steady' && phase !== 'introduced' && phase !== 'signing')) return 'unreadable'
  return { generation: Number(generation), phase, trusted }
}

/** The annotations that `markerOf` reads. */
export function markerAnnotations({ generation, phase, trusted }: RotationTrace): Readonly<Record<string, string>> {
  return { [caNames.generation]: String(generation), [caNames.phase]: phase, [caNames.roots]: trusted.join(',') }
}

function firstSecret(namespace: string, state: CaState): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: install.caSecret, namespace, labels: { [managedByLabel]: managedBy } },
    type: 'Opaque',
    data: { [caNames.secretKey]: encode(state) },
  }
}

function encode(state: CaState): string {
  return Buffer.from(formatState(state)).toString('base64')
}

function stateOf(secret: KubeObject, path: string): CaState {
  const text = dataOf(secret)[caNames.secretKey]
  if (text === undefined) throw new CaError('store-corrupt', `${path} has no key ${caNames.secretKey}`)
  return parseState(Buffer.from(text, 'base64').toString(), path)
}

/** Base64 by key. */
export function dataOf(object: KubeObject): Readonly<Record<string, string>> {
  const data = object['data']
  return typeof data === 'object' && data !== null ? (data as Record<string, string>) : {}
}
