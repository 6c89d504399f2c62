import type { ServerResponse } from 'node:http'
import type { KubeObject } from '../../src/kube/object.ts'
import type { ServedKind } from './kinds.ts'
import type { ApiRequest } from './requests.ts'
import type { Selects } from './selectors.ts'
import type { Store, StoreEvent } from './store.ts'

/** The watches that are open, and what tests do to them. */
export interface Watches {
  readonly open: (request: ApiRequest, response: ServerResponse, watch: WatchRequest) => void
  /** Breaks connections off (`reset`) or ends them in order (`end`). @returns how many */
  readonly cut: (how: 'reset' | 'end', on?: (request: ApiRequest) => boolean) => number
  /** Sends a line of any content. */
  readonly inject: (line: string, on?: (request: ApiRequest) => boolean) => void
  /** Open connections stay, but nothing comes; held events come after the end of the silence unless it loses them. */
  readonly silence: (on?: (request: ApiRequest) => boolean) => (lose?: boolean) => void
  /** How many are open. */
  readonly count: (on?: (request: ApiRequest) => boolean) => number
}

export interface WatchRequest {
  readonly kind: ServedKind
  /** In which version objects are written. */
  readonly apiVersion: string
  readonly selects: Selects
}

interface Open {
  readonly request: ApiRequest
  readonly response: ServerResponse
  readonly send: (line: string) => void
  held: string[] | undefined
}

/** @param bookmarkMs how often bookmarks go to those who ask for them */
export function createWatches(store: Store, bookmarkMs: number): Watches {
  const all = new Set<Open>()
  const some = (on: ((request: ApiRequest) => boolean) | undefined): Open[] => [...all].filter(({ request }) => on?.(request) ?? true)

  const open: Watches['open'] = (request, response, { kind, apiVersion, selects }) => {
    const { query } = request
    const line = (type: string, object: object): string => `${JSON.stringify({ type, object })}\n`
    const asked = query.get('resourceVersion') ?? ''
    const fresh = asked === '' || asked === '0'
    const backlog = fresh ? [] : store.since(kind, Number(asked))
    response.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' })
    response.flushHeaders()
    if (backlog === undefined) {
      const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message: `too old resource version: ${asked}`, reason: 'Expired', code: 410 }
      response.end(line('ERROR', status))
      return
    }
    const watch: Open = {
      request,
      response,
      held: undefined,
      send: (text) => {
        if (watch.held === undefined) response.write(text)
        else watch.held.push(text)
      },
    }
    const tell = (event: StoreEvent): void => {
      if (request.namespace !== '' && (event.object.metadata.namespace ?? '') !== request.namespace) return
      const type = typeFor(event, selects)
      if (type !== undefined) watch.send(eventLine(type, event.object, apiVersion))
    }
    if (fresh) {
      for (const object of store.list(kind, request.namespace === '' ? undefined : request.namespace)) {
        if (selects(object)) watch.send(eventLine('ADDED', object, apiVersion))
      }
    }
    for (const event of backlog) tell(event)
    const bookmarks = query.get('allowWatchBookmarks') === 'true' || query.get('allowWatchBookmarks') === '1'
    const bookmark = (): void => {
      if (!bookmarks) return
      watch.send(line('BOOKMARK', { kind: kind.kind, apiVersion, metadata: { resourceVersion: String(store.version()), creationTimestamp: null } }))
    }
    const stop = store.listen(kind, tell)
    const ticking = setInterval(bookmark, bookmarkMs)
    const seconds = Number(query.get('timeoutSeconds') ?? '0')
    const ending = setTimeout(
      () => {
        bookmark()
        if (watch.held === undefined) response.end()
      },
      (seconds > 0 ? seconds : 3600) * 1000,
    )
    all.add(watch)
    response.once('close', () => {
      stop()
      clearInterval(ticking)
      clearTimeout(ending)
      all.delete(watch)
    })
  }

  return {
    open,
    cut: (how, on) => {
      const found = some(on)
      for (const { response } of found) {
        if (how === 'end') response.end()
        else response.socket?.resetAndDestroy()
      }
      return found.length
    },
    inject: (line, on) => {
      for (const { send } of some(on)) send(`${line}\n`)
    },
    silence: (on) => {
      const found = some(on)
      for (const watch of found) watch.held ??= []
      return (lose = false) => {
        for (const watch of found) {
          const { held = [] } = watch
          watch.held = undefined
          if (!lose) for (const text of held) watch.send(text)
        }
      }
    },
    count: (on) => some(on).length,
  }
}

/** An object may come into a selection or leave it by a change. */
function typeFor({ type, object, previous }: StoreEvent, selects: Selects): StoreEvent['type'] | undefined {
  const before = type !== 'ADDED' && previous !== undefined && selects(previous)
  const after = type !== 'DELETED' && selects(object)
  if (before) return after ? 'MODIFIED' : 'DELETED'
  return after ? 'ADDED' : undefined
}

const written = new WeakMap<KubeObject, { readonly apiVersion: string; readonly text: string }>()

/** An event's line; the text of an object is made once for all watches. */
function eventLine(type: StoreEvent['type'], object: KubeObject, apiVersion: string): string {
  let made = written.get(object)
  if (made?.apiVersion !== apiVersion) {
    made = { apiVersion, text: JSON.stringify({ ...object, apiVersion }) }
    written.set(object, made)
  }
  return `{"type":"${type}","object":${made.text}}\n`
}
