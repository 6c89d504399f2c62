import { connect as connectTcp } from 'node:net'
import type { Duplex } from 'node:stream'
import { messageOf } from '../kit/message.ts'
import { formatAuthority } from '../transport/authority.ts'
import { HboneError } from '../transport/errors.ts'
import type { HboneClient } from '../transport/hbone-client.ts'
import type { Decision } from '../model/destination.ts'
import type { Endpoint } from '../model/entries.ts'
import { reasons, type ReasonCode } from '../model/reasons.ts'

/** A destination that could not be reached, as a row of the reason table. */
export class EntryError extends Error {
  readonly reason: ReasonCode
  constructor(reason: ReasonCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'EntryError'
    this.reason = reason
  }
}

/** Milliseconds until an endpoint reached in plain must have accepted a connection. */
const connectTimeoutMs = 5_000

/** Reasons that every candidate would give: they judge who asks. */
const aboutCaller: ReadonlySet<string> = new Set<ReasonCode>(['denied', 'rate-limited', 'malformed-request'])

/** Opens connections as decided; counts up so that waypoints and endpoints take turns. */
export interface Opener {
  /**
   * @param headers of the CONNECT: `forwarded`, `baggage`, `traceparent`
   * @throws {EntryError} nothing was sent to the destination then
   */
  readonly open: (decision: Decision, headers: Readonly<Record<string, string>>) => Promise<Duplex>
}

/** @param hbone speaks as the caller's identity */
export function createOpener(hbone: HboneClient, hbonePort = 15008): Opener {
  let turn = 0

  const openEndpoint = (endpoint: Endpoint, headers: Readonly<Record<string, string>>): Promise<Duplex> => {
    if (endpoint.transport.kind === 'plain') return openPlain(endpoint.address, endpoint.port)
    return hbone.connect({
      host: endpoint.address,
      port: endpoint.transport.port,
      authority: formatAuthority(endpoint.address, endpoint.port),
      peer: { kind: 'identity', id: endpoint.transport.identity },
      headers,
    })
  }

  /**
   * Tries each candidate once, starting with the next in turn. Safe, for no byte was sent where the connection failed or was refused:
   * one that has no configuration yet, is full, or does not know the newest Service yet, has neighbours that may.
   */
  const firstThatOpens = async <T>(candidates: readonly T[], open: (candidate: T) => Promise<Duplex>, unreachable: ReasonCode): Promise<Duplex> => {
    const start = turn++
    let last: unknown
    for (let step = 0; step < candidates.length; step++) {
      const candidate = candidates[(start + step) % candidates.length]
      if (candidate === undefined) break
      try {
        return await open(candidate)
      } catch (error) {
        // An answer tells more than that somebody else did not answer.
        if (!isRefusal(last) || isRefusal(error)) last = error
        if (isRefusal(error) && aboutCaller.has(error.reason ?? '')) break
      }
    }
    throw entryError(last, unreachable)
  }

  return {
    open: (decision, headers) => {
      switch (decision.kind) {
        case 'refused':
          return Promise.reject(new EntryError(decision.reason, decision.detail))
        case 'waypoint': {
          const { waypoint, authority } = decision
          const peer = { kind: 'identity', id: waypoint.identity } as const
          return firstThatOpens(waypoint.addresses, ({ host, port }) => hbone.connect({ host, port, authority, peer, headers }), 'no-waypoint')
        }
        case 'endpoints': {
          const usable = usableEndpoints(decision.endpoints)
          const { namespace, name } = decision.service
          if (usable.length === 0) return Promise.reject(new EntryError('no-endpoint', `Service ${namespace}/${name}, port ${decision.port.port}`))
          return firstThatOpens(usable, (endpoint) => openEndpoint(endpoint, headers), 'connect-failure')
        }
        case 'workload': {
          const { workload, address, port } = decision
          const transport = workload.enrolled ? ({ kind: 'hbone', port: hbonePort, identity: workload.identity } as const) : ({ kind: 'plain' } as const)
          return firstThatOpens([{ address, port, condition: 'ready', transport } as const], (endpoint) => openEndpoint(endpoint, headers), 'connect-failure')
        }
      }
    },
  }
}

/** Ready ones; those that drain only while there is no other. */
function usableEndpoints(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const ready = endpoints.filter((each) => each.condition === 'ready')
  return ready.length > 0 ? ready : endpoints
}

function isRefusal(error: unknown): error is HboneError {
  return error instanceof HboneError && error.code === 'refused'
}

function openPlain(host: string, port: number): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host, port, noDelay: true, allowHalfOpen: true, autoSelectFamily: false })
    const fail = (error: Error): void => {
      socket.destroy()
      reject(error)
    }
    socket.setTimeout(connectTimeoutMs, () => fail(new EntryError('connect-timeout', `${host}:${port} did not answer within ${connectTimeoutMs} ms`)))
    socket.once('error', fail)
    socket.once('connect', () => {
      socket.setTimeout(0)
      socket.off('error', fail)
      resolve(socket)
    })
  })
}

function entryError(error: unknown, unreachable: ReasonCode): EntryError {
  if (error instanceof EntryError) return error
  const message = messageOf(error)
  if (error instanceof HboneError) {
    if (error.code === 'peer-identity') return new EntryError('peer-identity', message, { cause: error })
    if (error.reason !== undefined && error.reason in reasons) return new EntryError(error.reason as ReasonCode, message, { cause: error })
  }
  return new EntryError(unreachable, message, { cause: error })
}
