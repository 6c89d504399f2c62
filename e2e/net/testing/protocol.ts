/** What a pod's process can be told to do, and what it answers: one JSON line each way. */
export interface Operations {
  /** Connects, says a line to an application, reads its answer and ends. */
  readonly ask: { readonly spec: Target; readonly result: Reply }
  /** Sends `bytes`, closes its half, and reads the answer, which is given only then. */
  readonly upload: { readonly spec: Target & { readonly bytes: number }; readonly result: Reply }
  /** Connects and says nothing: reads what the other side says first. */
  readonly listenFirst: { readonly spec: Target; readonly result: Reply }
  /** One datagram there and one back. */
  readonly datagram: { readonly spec: Target; readonly result: Reply }
  /** A GET on a connection of its own. */
  readonly request: { readonly spec: Target & { readonly headers?: Readonly<Record<string, string>> }; readonly result: HttpReply }
  /** Opens a connection that stays. */
  readonly open: { readonly spec: Target; readonly result: { readonly id: number } }
  /** A question on a connection that stays. */
  readonly use: { readonly spec: { readonly id: number }; readonly result: Reply }
  /** Ends a connection that stays. */
  readonly shut: { readonly spec: { readonly id: number }; readonly result: true }
  /** `ask` again and again, `parallel` at once, until `halt`. */
  readonly churn: { readonly spec: Target & { readonly parallel: number }; readonly result: { readonly done: number; readonly failed: Readonly<Record<string, number>> } }
  readonly halt: { readonly spec: Readonly<Record<string, never>>; readonly result: true }
  /** `ask` from a socket with a mark. */
  readonly marked: { readonly spec: Target & { readonly mark: number }; readonly result: Reply }
  /** How many connections the applications of this pod have accepted so far. */
  readonly accepted: { readonly spec: Readonly<Record<string, never>>; readonly result: number }
  /** Takes a port of this pod. */
  readonly take: { readonly spec: { readonly port: number }; readonly result: true }
  /** Gives all taken ports back. */
  readonly give: { readonly spec: Readonly<Record<string, never>>; readonly result: true }
}

export interface Target {
  readonly host: string
  readonly port: number
  /** How long an answer may take, milliseconds; default 5,000. */
  readonly patienceMs?: number
}

/** What an application says of a connection, or why there was none: an errno's name, `timeout`, `closed`. */
export type Reply = { readonly pod: string; readonly peer: string; readonly bytes: number } | { readonly error: string }

/** What an application was asked, or why it was not, as in `Reply`. */
export type HttpReply = { readonly status: number; readonly pod: string; readonly headers: Readonly<Record<string, string>> } | { readonly error: string }

export type Operation = keyof Operations

/** Ports of the applications in every pod. */
export const applicationPorts = {
  /** Answers each line. */
  lines: 8080,
  /** Speaks first, and ends. */
  first: 8081,
  /** Reads to the end, then answers. */
  sink: 8082,
  /** Answers requests of HTTP/1.1. */
  http: 8083,
  /** Answers datagrams. */
  datagrams: 8053,
} as const
