import type { RefusalCause } from './messages.ts'
import type { Subscriber } from './slice.ts'

/** What a controller's side of the streams tells whoever counts. */
export interface ControlObserver {
  /** A subscriber came (1) or went (-1). */
  readonly subscribers?: (kind: Subscriber['kind'], by: 1 | -1) => void
  /** Bytes that went to subscribers since the last call. */
  readonly sent?: (bytes: number) => void
  /** An update was sent; `fresh`: of a whole slice. */
  readonly updated?: (kind: Subscriber['kind'], fresh: boolean) => void
  /** A connection or a stream was refused. `handshake`: TLS failed. */
  readonly refused?: (cause: RefusalCause | 'handshake') => void
  /** A token was judged; `unavailable`: the API server could not say. */
  readonly reviewed?: (result: 'accepted' | 'refused' | 'unavailable') => void
  /** A request for a certificate was answered. */
  readonly signed?: (ok: boolean) => void
}
