import type { KubernetesObject, LocalObjectReference, StatusCondition } from './meta.ts'

/** A duration as Gateway API writes it, `1h30m`, `500ms`, `0s`. Source: GEP-2257. */
export type Duration = string

/** Defaults that the API server and file mode fill in: group `gateway.networking.k8s.io`, kind `Gateway`. */
export interface ParentReference {
  readonly group?: string | undefined
  readonly kind?: string | undefined
  readonly namespace?: string | undefined
  readonly name: string
  readonly sectionName?: string | undefined
  readonly port?: number | undefined
}

/** Defaults: group '', kind `Service`, namespace of the route. */
export interface BackendObjectReference {
  readonly group?: string | undefined
  readonly kind?: string | undefined
  readonly namespace?: string | undefined
  readonly name: string
  readonly port?: number | undefined
}

export interface BackendRef extends BackendObjectReference {
  /** Default 1. */
  readonly weight?: number | undefined
}

export interface HeaderModifier {
  readonly set?: readonly NameValue[] | undefined
  readonly add?: readonly NameValue[] | undefined
  readonly remove?: readonly string[] | undefined
}

export interface NameValue {
  readonly name: string
  readonly value: string
}

export interface MirrorFilter {
  readonly backendRef: BackendObjectReference
  readonly percent?: number | undefined
  /** `denominator` defaults to 100. */
  readonly fraction?: { readonly numerator: number; readonly denominator?: number | undefined } | undefined
}

export interface PathModifierSpec {
  readonly type: 'ReplaceFullPath' | 'ReplacePrefixMatch'
  readonly replaceFullPath?: string | undefined
  readonly replacePrefixMatch?: string | undefined
}

export interface RedirectFilter {
  readonly scheme?: string | undefined
  readonly hostname?: string | undefined
  readonly path?: PathModifierSpec | undefined
  readonly port?: number | undefined
  /** Default 302. */
  readonly statusCode?: number | undefined
}

export interface CorsFilter {
  readonly allowOrigins?: readonly string[] | undefined
  readonly allowCredentials?: boolean | undefined
  readonly allowMethods?: readonly string[] | undefined
  readonly allowHeaders?: readonly string[] | undefined
  readonly exposeHeaders?: readonly string[] | undefined
  /** Seconds; default 5. */
  readonly maxAge?: number | undefined
}

/** Exactly the field that `type` names is set, others are absent: the CRD's rules see to it. */
export interface HttpRouteFilter {
  readonly type:
    | 'RequestHeaderModifier'
    | 'ResponseHeaderModifier'
    | 'RequestMirror'
    | 'RequestRedirect'
    | 'URLRewrite'
    | 'CORS'
    | 'ExternalAuth'
    | 'ExtensionRef'
  readonly requestHeaderModifier?: HeaderModifier | undefined
  readonly responseHeaderModifier?: HeaderModifier | undefined
  readonly requestMirror?: MirrorFilter | undefined
  readonly requestRedirect?: RedirectFilter | undefined
  readonly urlRewrite?: { readonly hostname?: string | undefined; readonly path?: PathModifierSpec | undefined } | undefined
  readonly cors?: CorsFilter | undefined
  readonly extensionRef?: LocalObjectReference | undefined
  readonly externalAuth?: { readonly backendRef: BackendObjectReference } | undefined
}

/** `type` defaults to `Exact`. */
export interface ValueMatch {
  readonly type?: 'Exact' | 'RegularExpression' | undefined
  readonly name: string
  readonly value: string
}

export interface HttpRouteMatch {
  /** Defaults: type `PathPrefix`, value `/`. */
  readonly path?:
    | { readonly type?: 'Exact' | 'PathPrefix' | 'RegularExpression' | undefined; readonly value?: string | undefined }
    | undefined
  readonly method?: string | undefined
  readonly headers?: readonly ValueMatch[] | undefined
  readonly queryParams?: readonly ValueMatch[] | undefined
}

export interface SessionPersistenceSpec {
  readonly sessionName?: string | undefined
  readonly absoluteTimeout?: Duration | undefined
  readonly idleTimeout?: Duration | undefined
  /** Default `Cookie`. */
  readonly type?: 'Cookie' | 'Header' | undefined
  readonly cookieConfig?: { readonly lifetimeType?: 'Permanent' | 'Session' | undefined } | undefined
}

export interface HttpBackendRef extends BackendRef {
  readonly filters?: readonly HttpRouteFilter[] | undefined
}

export interface HttpRouteRule {
  readonly name?: string | undefined
  readonly matches?: readonly HttpRouteMatch[] | undefined
  readonly filters?: readonly HttpRouteFilter[] | undefined
  readonly backendRefs?: readonly HttpBackendRef[] | undefined
  readonly timeouts?: { readonly request?: Duration | undefined; readonly backendRequest?: Duration | undefined } | undefined
  readonly retry?:
    | { readonly codes?: readonly number[] | undefined; readonly attempts?: number | undefined; readonly backoff?: Duration | undefined }
    | undefined
  readonly sessionPersistence?: SessionPersistenceSpec | undefined
}

/** What a route's status says to one parent. */
export interface RouteStatusSpec {
  readonly parents?:
    | readonly {
        readonly parentRef: ParentReference
        readonly controllerName: string
        readonly conditions?: readonly StatusCondition[] | undefined
      }[]
    | undefined
}

interface CommonRouteSpec {
  readonly parentRefs?: readonly ParentReference[] | undefined
}

/** Source: gateway.networking.k8s.io/v1 HTTPRoute. */
export interface HTTPRoute extends KubernetesObject {
  readonly kind: 'HTTPRoute'
  readonly spec: CommonRouteSpec & {
    readonly hostnames?: readonly string[] | undefined
    /** Absent: one rule that matches everything and has no backend. */
    readonly rules?: readonly HttpRouteRule[] | undefined
  }
  readonly status?: RouteStatusSpec | undefined
}

export interface GrpcRouteFilter {
  readonly type: 'RequestHeaderModifier' | 'ResponseHeaderModifier' | 'RequestMirror' | 'ExtensionRef'
  readonly requestHeaderModifier?: HeaderModifier | undefined
  readonly responseHeaderModifier?: HeaderModifier | undefined
  readonly requestMirror?: MirrorFilter | undefined
  readonly extensionRef?: LocalObjectReference | undefined
}

export interface GrpcRouteMatch {
  readonly method?:
    | {
        /** Default `Exact`. */
        readonly type?: 'Exact' | 'RegularExpression' | undefined
        readonly service?: string | undefined
        readonly method?: string | undefined
      }
    | undefined
  readonly headers?: readonly ValueMatch[] | undefined
}

export interface GrpcBackendRef extends BackendRef {
  readonly filters?: readonly GrpcRouteFilter[] | undefined
}

export interface GrpcRouteRule {
  readonly name?: string | undefined
  readonly matches?: readonly GrpcRouteMatch[] | undefined
  readonly filters?: readonly GrpcRouteFilter[] | undefined
  readonly backendRefs?: readonly GrpcBackendRef[] | undefined
  readonly sessionPersistence?: SessionPersistenceSpec | undefined
}

/** Source: gateway.networking.k8s.io/v1 GRPCRoute. */
export interface GRPCRoute extends KubernetesObject {
  readonly kind: 'GRPCRoute'
  readonly spec: CommonRouteSpec & {
    readonly hostnames?: readonly string[] | undefined
    readonly rules?: readonly GrpcRouteRule[] | undefined
  }
  readonly status?: RouteStatusSpec | undefined
}

export interface L4RouteRule {
  readonly name?: string | undefined
  readonly backendRefs?: readonly BackendRef[] | undefined
}

/** Source: gateway.networking.k8s.io/v1 TLSRoute. */
export interface TLSRoute extends KubernetesObject {
  readonly kind: 'TLSRoute'
  readonly spec: CommonRouteSpec & {
    readonly hostnames?: readonly string[] | undefined
    readonly rules: readonly L4RouteRule[]
  }
  readonly status?: RouteStatusSpec | undefined
}

/** Source: gateway.networking.k8s.io/v1 TCPRoute. */
export interface TCPRoute extends KubernetesObject {
  readonly kind: 'TCPRoute'
  readonly spec: CommonRouteSpec & { readonly rules: readonly L4RouteRule[] }
  readonly status?: RouteStatusSpec | undefined
}

/** A route of any kind. */
export type AnyRoute = HTTPRoute | GRPCRoute | TLSRoute | TCPRoute
