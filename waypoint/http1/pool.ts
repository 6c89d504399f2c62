import type { Cancel, Clock } from '../../src/kit/clock.ts'
import { messageOf } from '../../src/kit/message.ts'
import { DialError } from '../upstream.ts'
import type { Dial, PoolLimits, UpstreamFailure, UpstreamHandler, UpstreamHead, UpstreamPool, UpstreamStream } from '../upstream.ts'
import { Http1Link } from './link.ts'
import type { LinkOwner } from './link.ts'
import type { HeadLimits } from './parse.ts'
import { Http1Try } from './try.ts'
import type { TryOwner } from './try.ts'

export interface Http1PoolOptions {
  /** Limits of an answer's header section; 64 KiB and 256 fields if not given. */
  readonly responseLimits?: Pick<HeadLimits, 'maxHeaderBytes' | 'maxHeaders'>
}

const defaultLimits = { maxHeaderBytes: 64 * 1024, maxHeaders: 256 }

/**
 * The HTTP/1.1 connections to one endpoint. The one used last is used next, so that a pool that is larger than its load shrinks;
 * one connection carries one request at a time and is used again only when both sides finished cleanly.
 */
export function createHttp1Pool(dial: Dial, limits: PoolLimits, clock: Clock, options: Http1PoolOptions = {}): UpstreamPool {
  return new Http1Pool(dial, limits, clock, options)
}

class Http1Pool implements UpstreamPool, LinkOwner, TryOwner {
  readonly clock: Clock
  readonly responseLimits: HeadLimits
  private readonly dial: Dial
  private readonly limits: PoolLimits
  /** Oldest first. */
  private readonly idle: Http1Link[] = []
  private readonly links = new Set<Http1Link>()
  private pending: Http1Try[] = []
  private dialing = 0
  private active = 0
  private closed: 'no' | 'draining' | 'destroyed' = 'no'
  private cancelSweep: Cancel | undefined

  constructor(dial: Dial, limits: PoolLimits, clock: Clock, options: Http1PoolOptions) {
    this.dial = dial
    this.limits = limits
    this.clock = clock
    this.responseLimits = { ...(options.responseLimits ?? defaultLimits), maxTargetBytes: 0 }
  }

  inFlight(): number {
    return this.active
  }

  request(head: UpstreamHead, handler: UpstreamHandler): UpstreamStream {
    const attempt = new Http1Try(head, handler, this)
    this.active++
    if (this.closed !== 'no') {
      failSoon(attempt, { reason: 'connect-failure', detail: 'the pool of this endpoint is closing', maybeProcessed: false, staleConnection: false })
      return attempt
    }
    const link = this.takeIdle()
    if (link !== undefined) attempt.run(link)
    else if (this.links.size + this.dialing < this.limits.maxConnections) {
      this.pending.push(attempt)
      this.open()
    } else if (this.pending.length - this.dialing < this.limits.maxPending) this.pending.push(attempt)
    else {
      const detail = `${this.limits.maxConnections} connections are busy and ${this.limits.maxPending} requests wait for them`
      failSoon(attempt, { reason: 'overload', detail, maybeProcessed: false, staleConnection: false })
    }
    return attempt
  }

  drain(): void {
    if (this.closed !== 'no') return
    this.closed = 'draining'
    this.closeIdle()
  }

  destroy(): void {
    if (this.closed === 'destroyed') return
    this.closed = 'destroyed'
    this.closeIdle()
    const waiting = this.pending
    this.pending = []
    for (const attempt of waiting) attempt.fail({ reason: 'connect-failure', detail: 'the pool was closed', maybeProcessed: false, staleConnection: false })
    for (const link of [...this.links]) link.cut({ reason: 'upstream-reset', detail: 'the pool was closed' })
  }

  /** A try is over, whatever way. */
  settled(attempt: Http1Try): void {
    this.active--
    if (attempt.queued) {
      const at = this.pending.indexOf(attempt)
      if (at >= 0) this.pending.splice(at, 1)
    }
  }

  /** The connection finished a request cleanly and can take the next. */
  released(link: Http1Link): void {
    if (link.usable && !link.retiring && this.clock.now() - link.createdMs < this.limits.maxAgeMs) {
      const next = this.pending.shift()
      if (next !== undefined) {
        next.run(link)
        return
      }
      if (this.closed === 'no') {
        link.idleSinceMs = this.clock.now()
        this.idle.push(link)
        this.cancelSweep ??= this.clock.after(this.limits.idleTimeoutMs, this.sweep)
        return
      }
    }
    link.close()
  }

  /** Only one that is idle: one that was just dialled is about to get its request. */
  retiring(link: Http1Link): void {
    if (this.idle.includes(link)) link.close()
  }

  /** The connection is gone or is somebody else's now. */
  lost(link: Http1Link): void {
    if (!this.links.delete(link)) return
    const at = this.idle.indexOf(link)
    if (at >= 0) this.idle.splice(at, 1)
    this.openForPending()
  }

  private takeIdle(): Http1Link | undefined {
    const oldestMs = this.clock.now() - this.limits.maxAgeMs
    for (let link = this.idle.pop(); link !== undefined; link = this.idle.pop()) {
      if (link.usable && link.createdMs > oldestMs) return link
      link.close()
    }
    return undefined
  }

  private openForPending(): void {
    while (this.dialing < this.pending.length && this.links.size + this.dialing < this.limits.maxConnections && this.closed !== 'destroyed') this.open()
  }

  private open(): void {
    this.dialing++
    this.connect().then(
      (link) => {
        this.dialing--
        this.links.add(link)
        if (this.closed === 'destroyed') link.close()
        else if (link.usable) this.released(link)
        else this.lost(link)
      },
      (error: unknown) => {
        this.dialing--
        // A dial that nobody waits for any more fails unseen.
        if (this.pending.length > this.dialing) this.pending.shift()?.fail(dialFailure(error))
        this.openForPending()
      },
    )
  }

  private async connect(): Promise<Http1Link> {
    return new Http1Link(await this.dial(), this)
  }

  private closeIdle(): void {
    this.cancelSweep?.()
    this.cancelSweep = undefined
    for (const link of this.idle.splice(0)) link.close()
  }

  private readonly sweep = (): void => {
    this.cancelSweep = undefined
    const now = this.clock.now()
    for (let first = this.idle[0]; first !== undefined; first = this.idle[0]) {
      const leftMs = first.idleSinceMs + this.limits.idleTimeoutMs - now
      if (leftMs > 0) {
        this.cancelSweep = this.clock.after(leftMs, this.sweep)
        return
      }
      this.idle.shift()
      first.close()
    }
  }
}

function failSoon(attempt: Http1Try, failure: UpstreamFailure): void {
  process.nextTick(() => attempt.fail(failure))
}

function dialFailure(error: unknown): UpstreamFailure {
  const reason = error instanceof DialError ? error.reason : 'connect-failure'
  return { reason, detail: messageOf(error), maybeProcessed: false, staleConnection: false }
}
