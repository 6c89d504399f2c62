import { addAbortSignal } from 'node:stream'
import type { Http2Stream } from 'node:http2'

const given = AbortSignal.abort()

/**
 * Resets a stream with CANCEL: "no longer needed". Nothing clean goes before it: `stream.close(code)` would send END_STREAM first, and
 * the peer would take a cut message for a whole one. node:http2 sends CANCEL only for its own AbortError, which a given signal makes.
 */
export function cancelStream(stream: Http2Stream): void {
  if (!stream.destroyed) addAbortSignal(given, stream)
}

/** Resets a stream with INTERNAL_ERROR: "the message could not be completed". */
export function failStream(stream: Http2Stream): void {
  if (!stream.destroyed) stream.destroy(new Error('the message could not be completed'))
}
