/** Why the proxy gave an answer of its own. The codes are stable: header, access log, metric label, span, documentation. */
export type ReasonCode = keyof typeof reasons

export interface Reason {
  /** HTTP status of the answer; 0: the connection ends without one. */
  readonly status: number
  /** gRPC status code of the answer. Source: grpc/doc/statuscodes.md. */
  readonly grpcStatus: number
  /** Whether the client's HTTP/1.1 connection is closed after the answer. */
  readonly close: boolean
  /** One line for the response body and the documentation. */
  readonly message: string
  /** What the reader can do next. */
  readonly advice: string
}

const grpc = { cancelled: 1, unknown: 2, invalidArgument: 3, deadlineExceeded: 4, permissionDenied: 7, resourceExhausted: 8, unimplemented: 12, internal: 13, unavailable: 14 } as const

/** The one table of every answer that the proxy makes itself; `docs/errors.md` is generated from it. */
export const reasons = {
  'no-route': {
    status: 404, grpcStatus: grpc.unimplemented, close: false,
    message: 'routes are attached to this Service port and none of them matches the request',
    advice: 'run `waymark explain` with this request to see why each rule lost, or add a rule without matches as the default',
  },
  'unknown-destination': {
    status: 502, grpcStatus: grpc.unavailable, close: false,
    message: 'the destination is not a Service port or pod that this mesh knows',
    advice: 'check the name, the namespace and the port: `kubectl get services -A` lists what there is, for a folder `waymark translate -f DIR`',
  },
  'no-configuration': {
    status: 503, grpcStatus: grpc.unavailable, close: true,
    message: 'this proxy has no configuration yet',
    advice: 'wait until /readyz on the readiness port answers 200; it names what is pending',
  },
  'no-waypoint': {
    status: 503, grpcStatus: grpc.unavailable, close: false,
    message: 'the waypoint that must judge this request can not be reached; the mesh does not pass it by',
    advice: 'check that the Gateway of class waypoint in the named namespace is Programmed and its pods are ready',
  },
  'wrong-waypoint': {
    status: 421, grpcStatus: grpc.unavailable, close: true,
    message: 'this waypoint does not serve that destination for this caller',
    advice: 'only callers of the waypoint\'s own namespace may use it towards other namespaces; others use the Service\'s own waypoint',
  },
  'invalid-backend': {
    status: 500, grpcStatus: grpc.unavailable, close: false,
    message: 'the rule\'s backend is missing or can not be used',
    advice: 'see the route\'s ResolvedRefs condition, which names the backend and what is wrong with it',
  },
  'no-backend': {
    status: 500, grpcStatus: grpc.unavailable, close: false,
    message: 'the rule has no backend with a weight above 0 and no filter that answers',
    advice: 'give the rule a backendRef with a weight of at least 1',
  },
  'unresolved-filter': {
    status: 500, grpcStatus: grpc.unavailable, close: false,
    message: 'the rule has a filter that can not be resolved, and filters are never skipped',
    advice: 'see the route\'s ResolvedRefs condition; remove the filter or create what it refers to',
  },
  'no-endpoint': {
    status: 503, grpcStatus: grpc.unavailable, close: false,
    message: 'the backend Service has no ready endpoint',
    advice: 'check the Service\'s EndpointSlices and the readiness of its pods',
  },
  'connect-failure': {
    status: 503, grpcStatus: grpc.unavailable, close: false,
    message: 'no connection to an endpoint could be made',
    advice: 'check that the application listens on the target port and that no NetworkPolicy is in the way',
  },
  'connect-timeout': {
    status: 503, grpcStatus: grpc.unavailable, close: false,
    message: 'an endpoint did not accept a connection in time',
    advice: 'check that the endpoint\'s address is reachable from the waypoint',
  },
  'peer-identity': {
    status: 503, grpcStatus: grpc.unavailable, close: false,
    message: 'the endpoint did not prove the identity it must have',
    advice: 'check the endpoint\'s certificate, its trust domain and that both sides hold the present trust bundle',
  },
  'upstream-reset': {
    status: 502, grpcStatus: grpc.unavailable, close: false,
    message: 'the endpoint closed the connection before its answer was complete',
    advice: 'look at the application\'s own log at this time; a keep-alive timeout shorter than the proxy\'s also does this',
  },
  'upstream-protocol': {
    status: 502, grpcStatus: grpc.internal, close: false,
    message: 'the endpoint\'s answer is not valid HTTP',
    advice: 'check the port\'s appProtocol: an HTTP/2-only server needs `kubernetes.io/h2c` or `grpc`',
  },
  'request-timeout': {
    status: 504, grpcStatus: grpc.deadlineExceeded, close: false,
    message: 'the exchange took longer than the rule\'s request timeout or the caller\'s deadline',
    advice: 'raise `timeouts.request`, or find out what the backend waits for',
  },
  'backend-timeout': {
    status: 504, grpcStatus: grpc.deadlineExceeded, close: false,
    message: 'the backend took longer than the rule\'s backendRequest timeout',
    advice: 'raise `timeouts.backendRequest`, or find out what the backend waits for',
  },
  'retries-exhausted': {
    status: 503, grpcStatus: grpc.unavailable, close: false,
    message: 'every try that the rule\'s retry allows failed; an answer keeps the last status',
    advice: 'look at the single tries in the trace or in the access log',
  },
  'denied': {
    status: 403, grpcStatus: grpc.permissionDenied, close: false,
    message: 'the caller may not do this',
    advice: 'ask the owner of the destination which identities are allowed',
  },
  'no-certificate': {
    status: 503, grpcStatus: grpc.unavailable, close: true,
    message: 'there is no valid certificate for this workload, and nothing that needs one goes out without',
    advice: 'check that the node\'s agent reaches a controller: its log names the workloads that wait for a certificate, and its page /identities those that have one',
  },
  'direct-hit': {
    status: 0, grpcStatus: grpc.unavailable, close: true,
    message: 'the connection was opened to a port of the mesh itself, not to an application',
    advice: 'connect to the application\'s own port: the mesh captures the connection by itself',
  },
  'plaintext-refused': {
    status: 0, grpcStatus: grpc.unavailable, close: true,
    message: 'the destination takes connections of mesh members only',
    advice: 'enrol the caller in the mesh, or let the destination take plaintext as well',
  },
  'waypoint-required': {
    status: 403, grpcStatus: grpc.permissionDenied, close: true,
    message: 'this port may be reached only through the waypoint that judges its requests',
    advice: 'call the Service by its name or ClusterIP, not the pod by its address',
  },
  'wrong-workload': {
    status: 400, grpcStatus: grpc.internal, close: true,
    message: 'the tunnel asks a pod\'s listener for a destination that is not an application of that pod',
    advice: 'the caller\'s configuration may be older than a change of addresses: connect again',
  },
  'rate-limited': {
    status: 429, grpcStatus: grpc.resourceExhausted, close: false,
    message: 'too many requests',
    advice: 'wait as long as `Retry-After` says',
  },
  'overload': {
    status: 503, grpcStatus: grpc.unavailable, close: true,
    message: 'this proxy has more work than it may hold',
    advice: 'scale the waypoint out or raise its limits',
  },
  'draining': {
    status: 503, grpcStatus: grpc.unavailable, close: true,
    message: 'this proxy is shutting down',
    advice: 'connect again: another replica answers',
  },
  'malformed-request': {
    status: 400, grpcStatus: grpc.internal, close: true,
    message: 'the request is malformed or ambiguous, so it is not forwarded',
    advice: 'the detail names the rule of RFC 9112 or RFC 9113 that it breaks',
  },
  'header-too-large': {
    status: 431, grpcStatus: grpc.resourceExhausted, close: true,
    message: 'the request\'s header section is larger than this proxy accepts',
    advice: 'send fewer or smaller headers',
  },
  'uri-too-long': {
    status: 414, grpcStatus: grpc.resourceExhausted, close: true,
    message: 'the request\'s target is longer than this proxy accepts',
    advice: 'move data from the URL to the body',
  },
  'body-too-large': {
    status: 413, grpcStatus: grpc.resourceExhausted, close: true,
    message: 'the request\'s body is larger than this proxy accepts',
    advice: 'send it in parts',
  },
  'client-gone': {
    status: 0, grpcStatus: grpc.cancelled, close: true,
    message: 'the client went away before the answer was complete',
    advice: 'a client-side timeout shorter than the backend\'s answer is the usual cause',
  },
} as const satisfies Record<string, Reason>

/** The table's row for `code`. */
export function reason(code: ReasonCode): Reason {
  return reasons[code]
}
