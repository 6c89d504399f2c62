/**
 * What the suite and the driver in a client pod say to each other: one JSON object on a line, questions on stdin, answers on stdout.
 * Types only, because both sides of the pod's wall import it.
 */

/** Requests one by one or several at a time, each judged on its own. */
export interface RequestsSpec {
  readonly url: string
  readonly method?: string
  /** A list is sent as a line for each value. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string
  /** How often; 1 by default. */
  readonly count?: number
  /** How many at a time; 1 by default. */
  readonly concurrency?: number
  /** Milliseconds for each; 15,000 by default. */
  readonly timeoutMs?: number
  /** Forward proxy; `direct` goes without one. By default the entry of the pod. */
  readonly via?: string
  /** Leaves headers and bodies out of the answers, and keeps who answered: for hundreds of requests. */
  readonly brief?: boolean
  /** A connection for each request; by default connections are kept alive. */
  readonly fresh?: boolean
  /**
   * Sends once more what met the end of a connection that was kept, before a byte of its answer, as curl, Go and browsers do: a server that closes an idle
   * connection can not know that a request is on its way.
   */
  readonly resend?: boolean
}

/** What the application saw of a request, and who it was. */
export interface Echo {
  readonly pod: string
  readonly version: string
  readonly namespace: string
  readonly method: string
  /** The target as it arrived, query included. */
  readonly path: string
  /** Names in lower case, each with every line's value. */
  readonly headers: Readonly<Record<string, readonly string[]>>
  readonly body: string
  /** `1.1` or `2.0`. */
  readonly http: string
  /** Where the application's socket was reached, `address:port`. */
  readonly local: string
  /** The address of whoever is at the other end of it. */
  readonly peer: string
}

export interface Reply {
  /** 0: no answer, see `error`. */
  readonly status: number
  readonly ms: number
  /** `x-waypoint-reason`: the mesh gave this answer, not the application. */
  readonly reason?: string
  readonly error?: string
  /** It is the answer to the second attempt, see `resend`. */
  readonly resent?: true
  readonly pod?: string
  readonly version?: string
  readonly headers?: Readonly<Record<string, readonly string[]>>
  readonly body?: string
  /** The body, if it is the application's. */
  readonly echo?: Echo
}

/** Asks again and again until the answer is as it should be. */
export interface UntilSpec extends Omit<RequestsSpec, 'count' | 'concurrency' | 'brief'> {
  /** All of those that are given must hold. */
  readonly status?: number
  readonly header?: { readonly name: string; readonly value: string }
  readonly version?: string
  /** Any pod but these. */
  readonly podOtherThan?: readonly string[]
  readonly reasonOtherThan?: readonly string[]
  /** It came by a waypoint: the application was told of the caller, or it is not the application's answer. */
  readonly byWaypoint?: boolean
  /** Milliseconds between the end of one request and the start of the next; 5 by default. */
  readonly everyMs?: number
  /** Milliseconds until it gives up; 30,000 by default. */
  readonly withinMs?: number
}

/** The last reply; `held` says whether it was as asked for. */
export interface UntilResult {
  readonly held: boolean
  readonly asked: number
  readonly reply: Reply
}

/** Requests at a fixed rate whatever the answers do; latency counts from the moment at which a request was due. */
export interface LoadSpec extends Omit<RequestsSpec, 'count' | 'concurrency' | 'brief'> {
  readonly rps: number
  readonly forSeconds: number
}

export interface LoadResult {
  readonly sent: number
  /** Answers by status; `0` has those that got none. */
  readonly statuses: Readonly<Record<string, number>>
  readonly pods: Readonly<Record<string, number>>
  /** Everything that is not 2xx or 3xx: the first 50, and how many in all. */
  readonly failures: readonly { readonly atMs: number; readonly status: number; readonly reason?: string; readonly error?: string; readonly pod?: string }[]
  readonly failed: number
  /** Sent once more, see `resend`. */
  readonly resent: number
  /** Milliseconds. */
  readonly latency: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number }
  /** Milliseconds between the first and the last request. */
  readonly lastedMs: number
}

/** Calls of the application's gRPC service over one HTTP/2 connection. */
export interface GrpcSpec {
  /** `host:port`. */
  readonly target: string
  readonly method: 'Say' | 'Stream' | 'Chat' | 'Fail' | 'Missing'
  /** The message's fields; `Stream` gives `count` messages, `Fail` ends with `code`, `Say` waits `delayMs`. */
  readonly message?: Readonly<Record<string, string | number>>
  readonly metadata?: Readonly<Record<string, string>>
  /** How many calls; 1 by default. */
  readonly count?: number
  readonly concurrency?: number
  /** Deadline of each call, milliseconds; 15,000 by default. */
  readonly deadlineMs?: number
  readonly via?: string
}

export interface GrpcReply {
  /** gRPC status code; 0 = OK. */
  readonly code: number
  readonly ms: number
  readonly details?: string
  readonly pod?: string
  readonly version?: string
  /** Messages of a stream. */
  readonly messages?: readonly Readonly<Record<string, unknown>>[]
  readonly metadata?: Readonly<Record<string, string>>
  readonly trailers?: Readonly<Record<string, string>>
}

/** Connections to the application's TCP port, which speaks first. */
export interface TcpSpec {
  readonly target: string
  readonly send?: string
  readonly count?: number
  readonly timeoutMs?: number
  readonly via?: string
}

export interface TcpReply {
  /** The line with which the server began. */
  readonly greeting: string
  readonly echoed: string
  readonly pod?: string
  readonly version?: string
  readonly ms: number
  readonly error?: string
}

/** A connection on which the caller says all that it has to say, and then hears whoever answers to its end. */
export interface RawSpec {
  readonly target: string
  /** Latin-1; by default nothing. */
  readonly send?: string
  /** In place of `send`: the ClientHello of a TLS client that wants this name. */
  readonly sni?: string
  /** Ends its own direction when all is sent; by default it stays open. */
  readonly half?: boolean
  /** Hears no further than this. */
  readonly untilText?: string
  readonly count?: number
  readonly concurrency?: number
  readonly timeoutMs?: number
  readonly via?: string
}

export interface RawReply {
  /** Latin-1. */
  readonly received: string
  /** The other side's end, that of `untilText`, or of the time; anything else is the error's code. */
  readonly end: string
}

/** Datagrams to the application's UDP port, which sends each back with who it is. */
export interface UdpSpec {
  readonly host: string
  readonly port: number
  readonly count?: number
  readonly timeoutMs?: number
}

export interface UdpReply {
  readonly version?: string
  /** The sender's address and port as the application saw them. */
  readonly from?: string
  readonly error?: string
}

/** One WebSocket: opened, a text sent and its echo awaited. */
export interface WebSocketSpec {
  readonly url: string
  readonly send: string
  readonly via?: string
}

export interface WebSocketReply {
  readonly status: number
  readonly echoed: string
  readonly error?: string
}

/** What can be asked of a driver, and what it gives. */
export interface Operations {
  readonly requests: { readonly spec: RequestsSpec; readonly result: readonly Reply[] }
  readonly until: { readonly spec: UntilSpec; readonly result: UntilResult }
  readonly load: { readonly spec: LoadSpec; readonly result: LoadResult }
  readonly grpc: { readonly spec: GrpcSpec; readonly result: readonly GrpcReply[] }
  readonly tcp: { readonly spec: TcpSpec; readonly result: readonly TcpReply[] }
  readonly raw: { readonly spec: RawSpec; readonly result: readonly RawReply[] }
  readonly udp: { readonly spec: UdpSpec; readonly result: readonly UdpReply[] }
  readonly websocket: { readonly spec: WebSocketSpec; readonly result: WebSocketReply }
  /** Ends the load or the wait with that id; its result comes as its own answer. */
  readonly stop: { readonly spec: { readonly id: number }; readonly result: boolean }
  /** The driver's own clock, milliseconds since 1970. */
  readonly clock: { readonly spec: Record<string, never>; readonly result: number }
}

export type Operation = keyof Operations

/** A line on the driver's stdin: an id and one operation by its name. */
export type Question = { readonly id: number } & { readonly [Name in Operation]?: Operations[Name]['spec'] }

/** A line on its stdout. */
export type Answer = { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: string }
