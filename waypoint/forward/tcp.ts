import type { Duplex } from 'node:stream'
import type { Clock } from '../../src/kit/clock.ts'
import { messageOf } from '../../src/kit/message.ts'
import type { ReasonCode } from '../../src/model/reasons.ts'
import type { BackendTarget, RuleId } from '../../src/model/route.ts'
import { reset, splice } from '../../src/transport/tunnel.ts'
import type { ConnectionTable } from '../compiled.ts'
import { DialError } from '../upstream.ts'

/** A Service port whose endpoints take the traffic. */
export type ServiceTarget = Extract<BackendTarget, { readonly kind: 'service' }>

/** How a connection gets to an endpoint: what the engine knows and this file does not. `T` is the engine's endpoint. */
export interface ConnectionRoute<T> {
  /** The Service port that was dialled: its endpoints serve if there is no table. */
  readonly destination: ServiceTarget
  /** TLSRoutes or TCPRoutes of the port; undefined if there are none. */
  readonly table: ConnectionTable | undefined
  /** @returns an endpoint for one try, not one of `tried`; undefined if there is none */
  readonly pick: (target: ServiceTarget, tried: readonly T[]) => T | undefined
  /** Rejects with `DialError`. The stream stands still and allows half-open ends. */
  readonly dial: (endpoint: T, signal: AbortSignal) => Promise<Duplex>
}

/** How a connection went; for the access log and the metrics. */
export interface ConnectionReport<T> {
  /** Undefined if both sides said their last byte. */
  readonly reason: ReasonCode | undefined
  /** What happened, in words, with `reason`. */
  readonly detail: string
  readonly rule: RuleId | undefined
  /** The last one tried. */
  readonly endpoint: T | undefined
  readonly tries: number
  readonly bytesFromClient: number
  readonly bytesToClient: number
  readonly durationMs: number
}

export interface ForwardOptions {
  readonly clock: Clock
  /** SNI of a TLS connection, lower case. */
  readonly serverName?: string | undefined
}

/** Tries per connection: a connect failure is retried once on another endpoint, for no byte was sent. */
const maxTries = 2

/**
 * Forwards a connection as it is: picks rule, backend and endpoint, dials, and joins the two. A connection that can't be
 * forwarded (no rule, an invalid backend's share, no endpoint) is reset, never ended cleanly.
 * Never rejects.
 */
export async function forwardTcp<T>(client: Duplex, route: ConnectionRoute<T>, { clock, serverName }: ForwardOptions): Promise<ConnectionReport<T>> {
  const startMs = clock.now()
  const tried: T[] = []
  const { rule, target } = chooseTarget(route, serverName)
  const report = (reason: ReasonCode | undefined, detail: string, bytesFromClient = 0, bytesToClient = 0): ConnectionReport<T> => ({
    reason, detail, rule, endpoint: tried.at(-1), tries: tried.length, bytesFromClient, bytesToClient, durationMs: clock.now() - startMs,
  })
  const refuse = (reason: ReasonCode, detail: string): ConnectionReport<T> => {
    client.off('close', onGone)
    client.on('error', () => {})
    reset(client)
    return report(reason, detail)
  }
  const gone = new AbortController()
  const onGone = (): void => gone.abort()
  client.on('error', onGone)
  client.once('close', onGone)

  if (target.kind === 'invalid') return refuse(target.reason, target.detail)

  let failure: { readonly reason: ReasonCode; readonly detail: string } = { reason: 'no-endpoint', detail: 'no endpoint is ready' }
  while (tried.length < maxTries) {
    const endpoint = route.pick(target, tried)
    if (endpoint === undefined) break
    tried.push(endpoint)
    try {
      const backend = await route.dial(endpoint, gone.signal)
      client.off('close', onGone)
      client.off('error', onGone)
      const { bytesAtoB, bytesBtoA, resetBy } = await splice(client, backend).done
      const reason = resetBy === undefined ? undefined : resetBy === 'a' ? 'client-gone' : 'upstream-reset'
      return report(reason, resetBy === undefined ? '' : `the ${resetBy === 'a' ? 'client' : 'endpoint'} was cut`, bytesAtoB, bytesBtoA)
    } catch (error) {
      if (gone.signal.aborted) return refuse('client-gone', 'the client left while the endpoint was dialled')
      failure = { reason: error instanceof DialError ? error.reason : 'connect-failure', detail: messageOf(error) }
    }
  }
  return refuse(failure.reason, failure.detail)
}

function chooseTarget<T>(route: ConnectionRoute<T>, serverName: string | undefined): { readonly rule: RuleId | undefined; readonly target: BackendTarget } {
  const invalid = (reason: ReasonCode, detail: string): BackendTarget => ({ kind: 'invalid', reason, detail })
  if (route.table === undefined) return { rule: undefined, target: route.destination }
  const rule = route.table.find(serverName)
  if (rule === undefined) return { rule: undefined, target: invalid('no-route', `no rule for ${serverName === undefined ? 'this connection' : `server name ${serverName}`}`) }
  const backend = rule.pickBackend()
  return { rule: rule.id, target: backend?.target ?? invalid('no-backend', 'no backend of the rule has a weight') }
}
