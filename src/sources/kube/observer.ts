/** What came over a watch. `dropped`: something that is no object and was left out. */
export type WatchEventType = 'added' | 'modified' | 'deleted' | 'bookmark' | 'error' | 'dropped'

/** Why a collection is listed: `start`, the first time; else why resuming was not possible. */
export type RelistReason = 'start' | 'expired' | 'bad-line' | 'error-event' | 'forbidden' | 'missing' | 'rejected' | 'failing' | 'defect'

/** Why a watch had to be opened again. */
export type RestartReason =
  | 'ended'
  | 'cut'
  | 'silent'
  | 'expired'
  | 'bad-line'
  | 'error-event'
  | 'throttled'
  | 'unauthorized'
  | 'forbidden'
  | 'missing'
  | 'server-error'
  | 'rejected'
  | 'defect'

/** Told what list-watches do, for metrics; `kind` is that of the objects. None of these may throw. */
export interface WatchObserver {
  /** @param atMs milliseconds since the Unix epoch: the time of the last event */
  readonly event?: (kind: string, type: WatchEventType, atMs: number) => void
  /** A list was begun. */
  readonly relist?: (kind: string, reason: RelistReason) => void
  /** A watch, or a try to open one or to list, ended. */
  readonly restart?: (kind: string, reason: RestartReason) => void
  /** Bytes of answers as they come. */
  readonly bytes?: (kind: string, count: number) => void
  /** Whether what is held can be relied on: listed once, and not out of touch because of a fault. */
  readonly synced?: (kind: string, synced: boolean) => void
  /** How many objects are held. */
  readonly held?: (kind: string, count: number) => void
}
