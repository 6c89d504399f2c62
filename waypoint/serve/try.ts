import type { Duplex } from 'node:stream'
import type { Cancel } from '../../src/kit/clock.ts'
import type { TrySpan } from '../../src/telemetry/telemetry.ts'
import type { Client, Host, UpstreamProtocol } from '../backends/pools.ts'
import type { RequestHead } from '../compiled.ts'
import type { BodyLength, HeaderList } from '../exchange.ts'
import type { UpstreamFailure, UpstreamHandler, UpstreamHead, UpstreamStream } from '../upstream.ts'
import type { BodySink } from './body.ts'
import type { Engine } from './engine.ts'

/** What a request hears of its present try. */
export interface TryListener {
  readonly onTryInformational: (status: number, headers: HeaderList) => void
  readonly onTryHead: (attempt: Try, status: number, headers: HeaderList, length: BodyLength) => void
  readonly onTryData: (chunk: Buffer) => void
  readonly onTryEnd: (trailers: HeaderList) => void
  readonly onTryFailure: (attempt: Try, failure: UpstreamFailure) => void
  readonly onTryTimeout: (attempt: Try) => void
  readonly onTryDrain: () => void
  readonly onTryUpgrade: (headers: HeaderList, stream: Duplex) => void
}

/** What an endpoint gets of a request. @param headers a copy for this try */
export function upstreamHead({ method, scheme, authority, path, query }: RequestHead, headers: HeaderList, length: BodyLength, upgrade: string | undefined): UpstreamHead {
  return { method, scheme, authority, target: path + query, headers, length, ...(upgrade === undefined ? {} : { upgrade }) }
}

/** Answers that say the endpoint itself is in trouble, rather than the request. */
const gatewayErrors: ReadonlySet<number> = new Set([502, 503, 504])

/** One request on its way to one endpoint, with its timeout, its span and what it says about the endpoint. */
export class Try implements UpstreamHandler, BodySink {
  readonly host: Host
  readonly #listener: TryListener
  readonly #span: TrySpan | undefined
  #stream: UpstreamStream | undefined
  #cancelTimer: Cancel | undefined
  #status = 0
  #over = false

  constructor(host: Host, listener: TryListener, span: TrySpan | undefined) {
    this.host = host
    this.#listener = listener
    this.#span = span
  }

  /** @param timeoutMs of this try; undefined or 0: none */
  start(engine: Engine, protocol: UpstreamProtocol, client: Client, head: UpstreamHead, timeoutMs: number | undefined): void {
    if (timeoutMs !== undefined && timeoutMs > 0) this.#cancelTimer = engine.clock.after(timeoutMs, () => this.#onTimeout())
    this.#stream = this.host.pool(protocol, client).request(head, this)
  }

  write(chunk: Buffer): boolean {
    return this.#stream?.write(chunk) ?? true
  }

  end(trailers: HeaderList): void {
    this.#stream?.end(trailers)
  }

  pause(): void {
    this.#stream?.pause()
  }

  resume(): void {
    this.#stream?.resume()
  }

  /** Gives it up; nothing more is heard of it. */
  abort(why: string): void {
    if (this.#over) return
    this.#finish(why)
    this.#stream?.abort()
  }

  onInformational(status: number, headers: HeaderList): void {
    this.#listener.onTryInformational(status, headers)
  }

  onHead(status: number, headers: HeaderList, length: BodyLength): void {
    this.#status = status
    if (gatewayErrors.has(status)) this.host.failed()
    else this.host.succeeded()
    this.#listener.onTryHead(this, status, headers, length)
  }

  onData(chunk: Buffer): void {
    this.#listener.onTryData(chunk)
  }

  onEnd(trailers: HeaderList): void {
    this.#finish(undefined)
    this.#listener.onTryEnd(trailers)
  }

  onFailure(failure: UpstreamFailure): void {
    if (this.#over) return
    // A full pool and the keep-alive race say nothing about the endpoint's health.
    if (failure.reason !== 'overload' && !failure.staleConnection) this.host.failed()
    this.#finish(`${failure.reason}: ${failure.detail}`)
    this.#listener.onTryFailure(this, failure)
  }

  onDrain(): void {
    this.#listener.onTryDrain()
  }

  onUpgrade(headers: HeaderList, stream: Duplex): void {
    this.#status = 101
    this.#finish(undefined)
    this.#listener.onTryUpgrade(headers, stream)
  }

  #onTimeout(): void {
    if (this.#over) return
    this.host.failed()
    this.abort('backend-timeout')
    this.#listener.onTryTimeout(this)
  }

  #finish(error: string | undefined): void {
    this.#over = true
    this.#cancelTimer?.()
    this.#span?.end(this.#status, error)
  }
}
