import type { Duplex } from 'node:stream'
import type { Cancel } from '../../src/kit/clock.ts'
import type { ReasonCode } from '../../src/model/reasons.ts'
import type { ExchangeRecord, RequestTrace } from '../../src/telemetry/telemetry.ts'
import { splice } from '../../src/transport/tunnel.ts'
import type { Host } from '../backends/pools.ts'
import type { CompiledBackend, CompiledFilters, RequestHead, RuleMatch } from '../compiled.ts'
import type { CompiledGuard } from '../policy/guard.ts'
import type { EndpointSet } from '../config/runtime.ts'
import type { BodyLength, HeaderList, ServerExchange } from '../exchange.ts'
import { grpcStatusOf, isGrpc } from '../grpc/status.ts'
import { grpcTimeoutMs } from '../grpc/timeout.ts'
import { normaliseTarget } from '../route/path.ts'
import type { UpstreamFailure } from '../upstream.ts'
import { RequestBody, type BodyCopy } from './body.ts'
import { endpointsOf, hasOtherHost, isSame, keptSession, pickHost, upstreamProtocol, type KeptSession, type ServiceTarget } from './choose.ts'
import { resolve, type Resolved } from './destination.ts'
import type { Engine } from './engine.ts'
import { requestHead, stripOwnHeaders, type RequestContext } from './forwarded.ts'
import { startMirrors } from './mirror.ts'
import { denialOf } from './permit.ts'
import { newRecord, recordDestination } from './record.ts'
import { answerOf, answerOfFilter, reasonHeader, sendAnswer, type Answer } from './respond.ts'
import { decideRetry, type TryOutcome } from './retry.ts'
import { Try, upstreamHead, type TryListener } from './try.ts'

/** Serves one request: from its head to the last byte of its answer. */
export function serveRequest(engine: Engine, context: RequestContext, exchange: ServerExchange): void {
  const run = new RequestRun(engine, context, exchange)
  try {
    run.begin()
  } catch (error) {
    // A defect of ours costs this request, not the process.
    run.fail(error)
  }
}

class RequestRun implements TryListener {
  readonly #engine: Engine
  readonly #context: RequestContext
  readonly #exchange: ServerExchange
  readonly #record: ExchangeRecord
  readonly #grpc: boolean
  readonly #body: RequestBody
  readonly #tried = new Set<Host>()
  #trace: RequestTrace | undefined
  #match: RuleMatch | undefined
  #backend: CompiledBackend | undefined
  #target: ServiceTarget | undefined
  /** The Service port that it was sent to. */
  #self: ServiceTarget | undefined
  /** As the endpoint gets it. */
  #head: RequestHead | undefined
  #kept: KeptSession | undefined
  #try: Try | undefined
  #retries = 0
  #freeRetries = 0
  #cancelTimeout: Cancel | undefined
  #cancelBackoff: Cancel | undefined
  /** The answer's head is sent: nothing can be repeated or answered otherwise. */
  #committed = false
  #over = false

  constructor(engine: Engine, context: RequestContext, exchange: ServerExchange) {
    this.#engine = engine
    this.#context = context
    this.#exchange = exchange
    this.#grpc = exchange.head.version === 'http2' && isGrpc(exchange.head.headers)
    this.#record = newRecord(engine.clock.now(), exchange.head, this.#grpc, context.caller.id)
    const { replayBytes, totalReplayBytes } = engine.limits
    this.#body = new RequestBody(exchange.body, { replayBytes, totalReplayBytes, usage: engine.usage, onAbort: () => this.#onClientGone() })
  }

  begin(): void {
    const { usage, limits, config } = this.#engine
    const full = usage.requests >= limits.maxRequests
    usage.requests++
    this.#exchange.onClientGone = () => this.#onClientGone()
    this.#exchange.onDrain = () => this.#try?.resume()
    const now = config()
    const { destination, caller, routed } = this.#context
    const found = now && resolve(now, destination, caller.identity.namespace, routed)
    if (full) this.#refuse('overload', `${limits.maxRequests} requests are on their way`)
    else if (found === undefined) this.#refuse('no-configuration', '')
    else if (found.kind === 'unresolved') this.#refuse(found.reason, found.detail)
    else this.#judge(found)
  }

  /** Finds the rule and runs its filters. */
  #judge({ service, level, table, judgedTable }: Resolved): void {
    const record = this.#record
    recordDestination(record, service, level)
    const target = normaliseTarget(this.#exchange.head.target)
    if ('refused' in target) {
      this.#refuse('malformed-request', target.refused)
      return
    }
    const head = requestHead(this.#exchange.head, target, this.#context.caller, service.port.port)
    this.#trace = this.#engine.telemetry.startTrace(head.headers, record)
    if (this.#trace !== undefined) record.traceId = this.#trace.traceId
    const { guard, self } = service
    const judged = guard?.route === undefined ? table : judgedTable
    const match = judged?.kind === 'request' ? judged.table.find(head) : undefined
    // Before the first filter: what policies see is what was sent, in its normal form.
    if (guard !== undefined && !this.#permit(guard, head, match)) return
    this.#self = self
    if (table === undefined) {
      this.#limitTime(undefined)
      this.#forward(head, self, [])
      return
    }
    if (match === undefined) {
      this.#refuse('no-route', '')
      return
    }
    this.#match = match
    record.rule = match.rule.id
    this.#limitTime(match.rule.timeouts.requestMs)
    if (!this.#filter(match.rule.filters, head, match.prefix)) return
    this.#choose(match, head)
  }

  /** @returns false if policies deny it */
  #permit(guard: CompiledGuard, head: RequestHead, match: RuleMatch | undefined): boolean {
    const denial = denialOf(guard, head, this.#context.caller, this.#grpc, match, this.#record)
    if (denial !== undefined) this.#answer(denial)
    return denial === undefined
  }

  /** Chooses the backend and runs its filters. */
  #choose(match: RuleMatch, head: RequestHead): void {
    const { rule } = match
    this.#kept = keptSession(this.#engine, rule, this.#exchange.head.headers)
    const backend = this.#kept?.backend ?? rule.pickBackend()
    if (backend === undefined) {
      this.#refuse('no-backend', '')
      return
    }
    this.#backend = backend
    if (backend.target.kind === 'invalid') {
      this.#refuse(backend.target.reason, backend.target.detail)
      return
    }
    const mirrorHead = backend.filters.empty ? head : { ...head, headers: head.headers.slice() }
    if (!this.#filter(backend.filters, head, match.prefix)) return
    // Another Service of this namespace is judged as well: a route widens nobody's rights.
    const guard = isSame(backend.target, this.#self) ? undefined : this.#engine.config()?.guardOf(backend.target)
    if (guard !== undefined && !this.#permit(guard, head, undefined)) return
    this.#forward(head, backend.target, [...this.#mirrors(rule.filters, mirrorHead), ...this.#mirrors(backend.filters, head)])
  }

  /** @returns false if a filter answered */
  #filter(filters: CompiledFilters, head: RequestHead, prefix: string | undefined): boolean {
    if (filters.empty) return true
    const answer = filters.onRequest(head, prefix)
    if (answer === undefined) return true
    this.#record.reason = answer.reason
    this.#answer(answerOfFilter(answer, this.#grpc))
    return false
  }

  #mirrors(filters: CompiledFilters, head: RequestHead): readonly BodyCopy[] {
    return this.#exchange.head.upgrade === undefined ? startMirrors(this.#engine, filters, head, this.#body.length, this.#grpc, this.#context.caller) : []
  }

  #forward(head: RequestHead, target: ServiceTarget, copies: readonly BodyCopy[]): void {
    this.#head = head
    this.#target = target
    this.#body.copyTo(copies)
    this.#startTry()
  }

  #limitTime(ruleMs: number | undefined): void {
    const callerMs = this.#grpc ? grpcTimeoutMs(this.#exchange.head.headers) : undefined
    const limitMs = Math.min(ruleMs === undefined || ruleMs === 0 ? Infinity : ruleMs, callerMs ?? Infinity)
    if (limitMs !== Infinity) this.#cancelTimeout = this.#engine.clock.after(limitMs, () => this.#breakOff('request-timeout', `after ${limitMs} ms`))
  }

  #startTry(): void {
    const [head, target] = [this.#head, this.#target]
    if (head === undefined || target === undefined || this.#over) return
    const set = endpointsOf(this.#engine, target)
    const host = this.#pick(set)
    if (set === undefined || host === undefined) {
      this.#refuse(set?.closed === undefined ? 'no-endpoint' : 'denied', set?.closed ?? `${target.namespace}/${target.name}:${target.port}`)
      return
    }
    this.#tried.add(host)
    const record = this.#record
    record.tries++
    record.endpoint = host.address
    const headers = head.headers.slice()
    const attempt = new Try(host, this, this.#trace?.startTry(headers, host.address, record.tries))
    this.#try = attempt
    const { upgrade } = this.#exchange.head
    attempt.start(
      this.#engine,
      upstreamProtocol(set, head.version, this.#grpc, upgrade !== undefined),
      this.#context.caller,
      upstreamHead(head, headers, this.#body.length, upgrade),
      this.#match?.rule.timeouts.backendRequestMs,
    )
    this.#body.attach(attempt)
  }

  #pick(set: EndpointSet | undefined): Host | undefined {
    if (set === undefined) return undefined
    // A session goes elsewhere only when its endpoint failed.
    if (this.#kept?.host !== undefined && this.#tried.size === 0) return this.#kept.host
    return pickHost(this.#engine, set, this.#tried)
  }

  onTryInformational(status: number, headers: HeaderList): void {
    if (!this.#committed && !this.#over) this.#exchange.sendInformational(status, headers)
  }

  onTryHead(attempt: Try, status: number, headers: HeaderList, length: BodyLength): void {
    if (this.#over) return
    const decision = this.#match?.rule.retry === undefined ? undefined : this.#decide({ kind: 'status', status })
    if (decision?.kind === 'retry') {
      attempt.abort('')
      this.#retry(decision.delayMs, decision.free)
      return
    }
    // Another waypoint has done so, and speaks in the mesh's name itself.
    if (attempt.host.endpoint.via === undefined) stripOwnHeaders(headers)
    if (decision?.exhausted === true) {
      this.#record.reason = 'retries-exhausted'
      headers.push(reasonHeader, 'retries-exhausted')
    }
    this.#commit(status, headers, attempt.host)
    if (this.#grpc) this.#record.grpcStatus = grpcStatusOf(headers)
    this.#exchange.sendHead(status, headers, length)
  }

  onTryData(chunk: Buffer): void {
    if (this.#over) return
    this.#record.bytesOut += chunk.length
    if (!this.#exchange.sendData(chunk)) this.#try?.pause()
  }

  onTryEnd(trailers: HeaderList): void {
    if (this.#over) return
    if (this.#grpc) this.#record.grpcStatus = grpcStatusOf(trailers) ?? this.#record.grpcStatus
    // Before the end is sent: what the server does with the rest of the request's body concerns nobody here.
    this.#over = true
    this.#body.stop()
    if (trailers.length > 0) this.#exchange.sendEnd(trailers)
    else this.#exchange.sendEnd()
    this.#finish()
  }

  onTryFailure(attempt: Try, failure: UpstreamFailure): void {
    if (this.#over) return
    const detail = `${attempt.host.address}: ${failure.detail}`
    if (this.#committed) {
      this.#breakOff(failure.reason, detail)
      return
    }
    this.#afterFailedTry({ kind: 'failure', failure }, failure.reason, detail)
  }

  onTryTimeout(attempt: Try): void {
    if (this.#over) return
    const detail = `${attempt.host.address}: ${this.#match?.rule.timeouts.backendRequestMs ?? 0} ms`
    if (this.#committed) this.#breakOff('backend-timeout', detail)
    else this.#afterFailedTry({ kind: 'timeout' }, 'backend-timeout', detail)
  }

  onTryDrain(): void {
    this.#body.resume()
  }

  onTryUpgrade(headers: HeaderList, stream: Duplex): void {
    if (this.#over) {
      stream.destroy()
      return
    }
    stripOwnHeaders(headers)
    this.#commit(101, headers, undefined)
    // From here on it is a connection: it has no timeouts, and its end is the splice's.
    this.#over = true
    this.#cancelTimeout?.()
    this.#body.stop()
    void splice(this.#exchange.switchProtocols(headers), stream).done.then(({ bytesAtoB, bytesBtoA }) => {
      this.#record.bytesOut = bytesBtoA
      this.#finish(bytesAtoB)
    })
  }

  #decide(outcome: TryOutcome): ReturnType<typeof decideRetry> {
    const set = this.#target && endpointsOf(this.#engine, this.#target)
    return decideRetry(outcome, {
      policy: this.#match?.rule.retry,
      method: this.#exchange.head.method,
      retries: this.#retries,
      freeRetries: this.#freeRetries,
      replayable: this.#body.canReplay(),
      otherEndpoint: set !== undefined && hasOtherHost(this.#engine, set, this.#tried),
      random: this.#engine.random,
    })
  }

  #afterFailedTry(outcome: TryOutcome, code: ReasonCode, detail: string): void {
    const decision = this.#decide(outcome)
    if (decision.kind === 'retry') this.#retry(decision.delayMs, decision.free)
    else if (decision.exhausted) this.#refuse('retries-exhausted', `${code}: ${detail}`, code)
    else this.#refuse(code, detail)
  }

  #retry(delayMs: number, free: boolean): void {
    if (free) this.#freeRetries++
    else this.#retries++
    this.#engine.telemetry.count('retry')
    this.#try = undefined
    this.#body.detach()
    if (delayMs === 0) this.#startTry()
    else this.#cancelBackoff = this.#engine.clock.after(delayMs, () => this.#startTry())
  }

  /** What every answer of an endpoint goes through. */
  #commit(status: number, headers: HeaderList, host: Host | undefined): void {
    this.#committed = true
    this.#body.release()
    this.#record.status = status
    this.#responseFilters(headers)
    if (this.#kept === undefined || host === undefined) return
    const issued = this.#kept.keeper.issue(host.address, this.#kept.session, this.#engine.clock.now(), this.#match?.prefix)
    if (issued !== undefined) headers.push(...issued)
  }

  #responseFilters(headers: HeaderList): void {
    const client = this.#exchange.head.headers
    const rule = this.#match?.rule
    if (this.#backend?.filters.empty === false) this.#backend.filters.onResponse(headers, client)
    if (rule?.filters.empty === false) rule.filters.onResponse(headers, client)
  }

  /** Answers by a row of the reason table. */
  #refuse(code: ReasonCode, detail: string, statusOf?: ReasonCode): void {
    this.#record.reason = code
    this.#record.detail = detail
    this.#answer(answerOf(statusOf === undefined ? { code, detail } : { code, detail, statusOf }, this.#grpc))
  }

  #answer(answer: Answer): void {
    if (this.#over) return
    this.#over = true
    this.#try?.abort(this.#record.reason ?? '')
    this.#responseFilters(answer.headers)
    this.#record.status = answer.status
    this.#record.grpcStatus = answer.grpcStatus
    this.#body.stop()
    this.#record.bytesOut += sendAnswer(this.#exchange, answer)
    this.#finish()
  }

  /** Ends it without a whole answer, or with one if none was begun. */
  #breakOff(code: ReasonCode, detail: string): void {
    if (this.#over) return
    if (this.#committed) {
      this.#record.reason = code
      this.#record.detail = detail
      this.#cut(code)
    } else this.#refuse(code, detail)
  }

  #onClientGone(): void {
    if (!this.#over) this.#record.reason = 'client-gone'
    this.#cut('client-gone')
  }

  /** Ends the exchange because of an exception. */
  fail(error: unknown): void {
    this.#record.detail = `defect: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
    this.#cut('defect')
  }

  #cut(why: string): void {
    if (this.#over) return
    this.#over = true
    this.#try?.abort(why)
    this.#body.stop()
    this.#exchange.abort()
    this.#finish()
  }

  #finish(bytesIn = this.#body.bytes): void {
    this.#cancelTimeout?.()
    this.#cancelBackoff?.()
    this.#exchange.onClientGone = undefined
    this.#exchange.onDrain = undefined
    this.#engine.usage.requests--
    this.#record.bytesIn = bytesIn
    this.#trace?.end(this.#record)
    this.#engine.telemetry.exchangeDone(this.#record, this.#engine.clock.now() - this.#record.startMs)
  }
}
