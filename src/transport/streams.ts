import type { Http2Session, Http2Stream } from 'node:http2'
import { types } from 'node:util'

/**
 * Has an HTTP/2 session hold its streams so that young collections free them. Node keeps them in a `Map`, with what `Bag` says of a `Set`: streams that
 * have ended, and all that they carried, are copied twice and stay until the whole heap is collected.
 * To be called before there is a stream. Nothing happens if Node keeps them in another way.
 */
export function holdStreamsLightly(session: Http2Session): void {
  const key = Object.getOwnPropertySymbols(session).find(({ description }) => description === 'state')
  if (key === undefined) return
  const state = (session as unknown as Record<symbol, { streams?: unknown } | undefined>)[key]
  // Not of the class `Map`: Node's own has another prototype.
  if (state !== undefined && types.isMap(state.streams)) state.streams = new StreamTable()
}

/** The part of a `Map` that Node uses. The table of an object's numbered properties is changed in place, and an old one points to no other. */
class StreamTable {
  readonly #streams: Record<number, Http2Stream> = {}
  #size = 0

  get size(): number {
    return this.#size
  }

  get(id: number): Http2Stream | undefined {
    return this.#streams[id]
  }

  set(id: number, stream: Http2Stream): this {
    if (this.#streams[id] === undefined) this.#size++
    this.#streams[id] = stream
    return this
  }

  delete(id: number): boolean {
    if (this.#streams[id] === undefined) return false
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- keys are numbers
    delete this.#streams[id]
    this.#size--
    return true
  }

  /** Those of the beginning: whom it visits may end. */
  forEach(visit: (stream: Http2Stream, id: number) => void): void {
    for (const [id, stream] of Object.entries(this.#streams)) visit(stream, Number(id))
  }
}
