import type { HeaderList } from '../exchange.ts'
import type { UpstreamFailure, UpstreamHandler, UpstreamHead, UpstreamStream } from '../upstream.ts'
import { WriteError } from './write.ts'

/** What a try needs of the connection that carries it. */
export interface TryLink {
  readonly begin: (attempt: Http1Try) => void
  readonly write: (chunk: Buffer) => boolean
  readonly end: (trailers: HeaderList | undefined) => void
  readonly flowMoved: () => void
  /** Resets the connection; nothing is told. */
  readonly giveUp: () => void
}

/** Who counts the tries. */
export interface TryOwner {
  readonly settled: (attempt: Http1Try) => void
}

/** One request on its way: waits for a connection, then writes its body there and takes the answer. */
export class Http1Try implements UpstreamStream {
  readonly head: UpstreamHead
  readonly handler: UpstreamHandler
  /** No connection yet. */
  queued = true
  /** The handler heard its last. */
  over = false
  /** The request was written to its end. */
  sent: boolean
  paused = false
  /** An answer head other than 1xx came. */
  answered = false
  private link: TryLink | undefined
  private readonly owner: TryOwner
  private held: Buffer[] | undefined
  private heldEnd: { trailers: HeaderList | undefined } | undefined

  constructor(head: UpstreamHead, handler: UpstreamHandler, owner: TryOwner) {
    this.head = head
    this.handler = handler
    this.owner = owner
    this.sent = head.length === 0
  }

  /** The request goes out on `link`. */
  run(link: TryLink): void {
    this.queued = false
    this.link = link
    link.begin(this)
    const { held, heldEnd } = this
    this.held = undefined
    this.heldEnd = undefined
    let more = true
    for (const chunk of held ?? []) more = this.write(chunk)
    if (heldEnd !== undefined) this.end(heldEnd.trailers)
    else if (held !== undefined && more) this.drained()
  }

  write(chunk: Buffer): boolean {
    if (this.over || this.sent) return true
    if (this.link === undefined) {
      ;(this.held ??= []).push(chunk)
      return false
    }
    try {
      return this.link.write(chunk)
    } catch (error) {
      return this.failedWrite(error)
    }
  }

  end(trailers?: HeaderList): void {
    if (this.over || this.sent) return
    if (this.link === undefined) {
      this.heldEnd = { trailers }
      return
    }
    try {
      this.link.end(trailers)
      this.sent = true
    } catch (error) {
      this.failedWrite(error)
    }
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    if (!this.over) this.link?.flowMoved()
  }

  abort(): void {
    if (this.over) return
    this.settle()
    this.link?.giveUp()
  }

  /** The connection's buffer has room again. */
  drained(): void {
    if (!this.over && !this.sent) this.handler.onDrain()
  }

  fail(failure: UpstreamFailure): void {
    if (this.over) return
    this.settle()
    this.handler.onFailure(failure)
  }

  /** The last word was said, or is about to be. */
  settle(): void {
    if (this.over) return
    this.over = true
    this.held = undefined
    this.owner.settled(this)
  }

  private failedWrite(error: unknown): true {
    if (!(error instanceof WriteError)) throw error
    const { link } = this
    process.nextTick(() => this.fail({ reason: 'upstream-protocol', detail: error.message, maybeProcessed: true, staleConnection: false }))
    link?.giveUp()
    return true
  }
}
