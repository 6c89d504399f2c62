import { randomUUID } from 'node:crypto'
import type { KubeObject } from '../../src/kube/object.ts'
import { without } from './fields.ts'
import type { ServedKind } from './kinds.ts'
import type { ApiRequest } from './requests.ts'
import type { Selects } from './selectors.ts'
import { StatusError, type Store } from './store.ts'

/** Lists in pages: later ones show the state of the first. */
export interface Pages {
  /** @throws StatusError 410 for a continuation that is gone */
  readonly list: (request: ApiRequest, kind: ServedKind, apiVersion: string, selects: Selects) => object
  /** Makes every continuation expire. */
  readonly expire: () => void
}

/** @param pageSize the largest page, whatever was asked for */
export function createPages(store: Store, pageSize = Infinity): Pages {
  const rests = new Map<string, { readonly version: number; readonly items: readonly KubeObject[] }>()
  return {
    expire: () => rests.clear(),
    list: ({ query, namespace }, kind, apiVersion, selects) => {
      const token = query.get('continue') ?? ''
      const rest = token === '' ? { version: store.version(), items: store.list(kind, namespace === '' ? undefined : namespace).filter(selects) } : rests.get(token)
      if (rest === undefined) {
        throw new StatusError(410, 'Expired', 'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.')
      }
      const limit = Math.min(Number(query.get('limit') ?? '0') || Infinity, pageSize)
      const items = rest.items.slice(0, limit)
      const left = rest.items.slice(items.length)
      let next: string | undefined
      if (left.length > 0) {
        next = randomUUID()
        rests.set(next, { version: rest.version, items: left })
        // Clients that stopped in the middle must not fill the memory.
        if (rests.size > 100) rests.delete(rests.keys().next().value ?? '')
      }
      return {
        kind: `${kind.kind}List`,
        apiVersion,
        metadata: { resourceVersion: String(rest.version), ...(next === undefined ? {} : { continue: next, remainingItemCount: left.length }) },
        items: items.map((item) => without(item, 'apiVersion', 'kind')),
      }
    },
  }
}
