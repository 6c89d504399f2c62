import assert from 'node:assert/strict'
import { parse } from 'yaml'
import { gatewaySchemas } from '../../crds/load.ts'
import { formatPath } from './field.ts'
import type { Resource } from './resources.ts'
import { validate, type Validation } from './validate.ts'

const options = { gateway: gatewaySchemas('experimental'), standard: gatewaySchemas('standard') }
const judge = (text: string): Validation => validate(parse(text), options)

/** `field: message` of each problem. */
const said = (validation: Validation): string[] => validation.problems.map(({ path, message }) => `${formatPath(path)}: ${message}`)

const good = (text: string): Resource => {
  const validation = judge(text)
  return validation.kind === 'valid' ? validation.object : assert.fail(said(validation).join('\n'))
}

const http = (rule: string, parents = '[{ group: "", kind: Service, name: reviews }]'): string =>
  `{ apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: { name: r }, spec: { parentRefs: ${parents}, rules: [${rule}] } }`
const match = (path: string): string => http(`{ matches: [ { path: ${path} } ] }`)
const backend = (ref: string): string => http(`{ backendRefs: [ ${ref} ] }`)
const filters = (list: string, more = ''): string => http(`{ filters: [ ${list} ] ${more} }`)
const redirect = '{ type: RequestRedirect, requestRedirect: { hostname: a.example } }'
const rewrite = '{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /x } } }'
const mirror = (more: string): string => filters(`{ type: RequestMirror, requestMirror: { backendRef: { name: a, port: 80 }, ${more} } }`)
const grpc = (method: string): string =>
  `{ apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: { name: r }, spec: { rules: [ { matches: [ { method: ${method} } ] } ] } }`
const gateway = (listeners: string): string =>
  `{ apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: { name: g }, spec: { gatewayClassName: waypoint, listeners: ${listeners} } }`
const tls = (hostnames: string): string =>
  `{ apiVersion: gateway.networking.k8s.io/v1, kind: TLSRoute, metadata: { name: r }, spec: { hostnames: ${hostnames}, rules: [ { backendRefs: [ { name: a, port: 443 } ] } ] } }`
const service = '{ group: "", kind: Service, name: reviews'

describe('objects that a cluster refuses', () => {
  const refused: readonly (readonly [what: string, manifest: string, problem: RegExp])[] = [
    ['a path without leading /', match('{ value: v2 }'), /^spec\.rules\[0\]\.matches\[0\]\.path: value must be an absolute path/],
    ['a path with //', match('{ value: /a//b }'), /path: must not contain '\/\/'/],
    ['a path with /./', match('{ value: /a/./b }'), /path: must not contain '\/\.\/'/],
    ['a path with /../', match('{ type: Exact, value: /a/../b }'), /path: must not contain '\/\.\.\/'/],
    ['a path that ends in /..', match('{ value: /a/.. }'), /path: must not end with '\/\.\.'/],
    ['a path with %2F', match('{ value: /a%2Fb }'), /path: must not contain '%2F'/],
    ['a path with #', match('{ value: "/a#b" }'), /path: must not contain '#'/],
    ['a path with a space', match('{ value: "/a b" }'), /path: must only contain valid characters/],
    ['a path of 1025 characters', match(`{ value: "/${'a'.repeat(1024)}" }`), /path\.value: is too long: 1025 characters/],
    ['an unknown kind of match', match('{ type: Prefix, value: /a }'), /path\.type: unsupported value "Prefix"/],
    ['a weight above a million', backend('{ name: a, port: 80, weight: 1000001 }'), /weight: is out of range: 1000001/],
    ['a negative weight', backend('{ name: a, port: 80, weight: -1 }'), /weight: is out of range: -1/],
    ['a fractional weight', backend('{ name: a, port: 80, weight: 0.5 }'), /weight: has the wrong type: 0\.5/],
    ['a Service backend without port', backend('{ name: a }'), /backendRefs\[0\]: Must have port for Service reference/],
    ['port 0', backend('{ name: a, port: 0 }'), /port: is out of range: 0/],
    ['port 65536', backend('{ name: a, port: 65536 }'), /port: is out of range: 65536/],
    ['a port in quotes', backend('{ name: a, port: "80" }'), /port: has the wrong type: "80"/],
    ['more than 16 rules', http(Array.from({ length: 17 }, () => '{}').join(', ')), /^spec\.rules: has too many items: 17/],
    ['more than 64 matches in a rule', http(`{ matches: [ ${Array.from({ length: 65 }, () => '{}').join(', ')} ] }`), /matches: has too many items: 65/],
    ['more than 128 matches in all', http(Array.from({ length: 3 }, () => `{ matches: [ ${Array.from({ length: 50 }, () => '{}').join(', ')} ] }`).join(', ')), /^spec\.rules: .*128/],
    ['a header match without value', http('{ matches: [ { headers: [ { name: a } ] } ] }'), /headers\[0\]: the required field value is missing/],
    ['a header twice in one match', http('{ matches: [ { headers: [ { name: a, value: b }, { name: a, value: c } ] } ] }'), /headers\[1\]: is a duplicate of/],
    ['a header name that is no token', http('{ matches: [ { headers: [ { name: "a b", value: c } ] } ] }'), /headers\[0\]\.name: invalid value "a b"/],
    ['two redirects', filters(`${redirect}, ${redirect}`), /filters: RequestRedirect filter cannot be repeated/],
    ['redirect and rewrite', filters(`${redirect}, ${rewrite}`), /filters: May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite/],
    ['a redirect with backends', filters(redirect, ', backendRefs: [ { name: a, port: 80 } ]'), /rules\[0\]: RequestRedirect filter must not be used together with backendRefs/],
    ['a prefix rewrite with an exact match', filters(rewrite, ', matches: [ { path: { type: Exact, value: /a } } ]'), /rules\[0\]: When using URLRewrite filter with path\.replacePrefixMatch/],
    ['a filter whose type and field differ', filters('{ type: URLRewrite, requestRedirect: {} }'), /filters\[0\]: filter\.requestRedirect must be nil/],
    ['a filter without its field', filters('{ type: CORS }'), /filters\[0\]: filter\.cors must be specified/],
    ['a CORS wildcard beside an origin', filters('{ type: CORS, cors: { allowOrigins: [ "*", "https://a.example" ] } }'), /allowOrigins: .*'\*'/],
    ['a mirror with percent and fraction', mirror('percent: 1, fraction: { numerator: 1 }'), /requestMirror: Only one of percent or fraction/],
    ['a mirror fraction above one', mirror('fraction: { numerator: 2, denominator: 1 }'), /fraction: numerator must be less than or equal to denominator/],
    ['a mirror percent above 100', mirror('percent: 101'), /percent: is out of range: 101/],
    ['a redirect status that is none', filters('{ type: RequestRedirect, requestRedirect: { statusCode: 200 } }'), /statusCode: unsupported value 200/],
    ['a backend timeout above the request timeout', http('{ timeouts: { request: 1s, backendRequest: 1001ms } }'), /timeouts: backendRequest timeout cannot be longer than request timeout/],
    ['a timeout that is no duration', http('{ timeouts: { request: 1.5s } }'), /timeouts\.request: invalid value "1\.5s"/],
    ['a timeout without unit', http('{ timeouts: { request: 10 } }'), /timeouts\.request: has the wrong type: 10/],
    ['a permanent session without end', http('{ sessionPersistence: { cookieConfig: { lifetimeType: Permanent } } }'), /sessionPersistence: AbsoluteTimeout must be specified/],
    ['one parent twice', http('{}', `[ ${service} }, ${service} } ]`), /^spec\.parentRefs: .*unique/],
    ['one parent with and without port', http('{}', `[ ${service} }, ${service}, port: 80 } ]`), /^spec\.parentRefs: sectionName or port must be specified/],
    ['a parent without name', http('{}', '[ { kind: Service } ]'), /parentRefs\[0\]: the required field name is missing/],
    ['a kind that is no kind', http('{}', '[ { kind: "my service", name: a } ]'), /parentRefs\[0\]\.kind: invalid value/],
    ['33 parents', http('{}', `[ ${Array.from({ length: 33 }, (_, at) => `{ name: p${at} }`).join(', ')} ]`), /^spec\.parentRefs: has too many items: 33/],
    ['a gRPC method that is none', grpc('{ service: "a b" }'), /method: service must only contain valid characters/],
    ['a gRPC match of nothing', grpc('{ type: Exact }'), /method: One or both of 'service' or 'method' must be specified/],
    ['a host name with a port', http('{}').replace('rules:', 'hostnames: [ "a.example:80" ], rules:'), /hostnames\[0\]: invalid value/],
    ['a TLS host name that is an address', tls('[ 10.0.0.1 ]'), /^spec\.hostnames: .*IP/i],
    ['a TLS host name with a wildcard inside', tls('[ "a.*.example" ]'), /^spec\.hostnames/],
    ['two listeners of one name', gateway('[ { name: a, port: 1, protocol: HBONE }, { name: a, port: 2, protocol: HBONE } ]'), /listeners/],
    ['two listeners on one port', gateway('[ { name: a, port: 1, protocol: HBONE }, { name: b, port: 1, protocol: HBONE } ]'), /^spec\.listeners: Combination of port, protocol and hostname must be unique/],
  ]
  for (const [what, manifest, problem] of refused) {
    it(what, () => {
      const validation = judge(manifest)
      assert.equal(validation.kind, 'invalid')
      assert.ok(said(validation).some((each) => problem.test(each)), said(validation).join('\n'))
      for (const each of validation.problems) assert.notEqual(each.advice, '')
    })
  }
})

describe('objects that a cluster accepts', () => {
  const accepted: readonly (readonly [what: string, manifest: string])[] = [
    ['a regular expression is no path', match('{ type: RegularExpression, value: "a.*//b" }')],
    ['exactly 16 rules', http(Array.from({ length: 16 }, () => '{}').join(', '))],
    ['a weight of a million', backend('{ name: a, port: 80, weight: 1000000 }')],
    ['a backend of another kind needs no port', backend('{ group: example.com, kind: Thing, name: a }')],
    ['a request timeout that is off lets the backend one be anything', http('{ timeouts: { request: 0s, backendRequest: 1h } }')],
    ['one Service on two ports', http('{}', `[ ${service}, port: 80 }, ${service}, port: 81 } ]`)],
    ['one Service name in two namespaces', http('{}', `[ ${service}, namespace: a }, ${service}, namespace: b } ]`)],
    ['gRPC service names ignore case', grpc('{ service: Com.Example.Users }')],
    ['a wildcard host name for TLS', tls('[ "*.example.com" ]')],
    ['a mesh listener', gateway('[ { name: mesh, port: 15008, protocol: HBONE } ]')],
    ['null for a field that has a default', backend('{ name: a, port: 80, weight: null }')],
  ]
  for (const [what, manifest] of accepted) it(what, () => void good(manifest))
})

describe('what a cluster fills in', () => {
  it('groups, kinds, weights, path and match types', () => {
    const route = good(
      http('{ matches: [ { headers: [ { name: a, value: b } ] } ], backendRefs: [ { name: a, port: 80 } ] }', '[ { name: waypoint } ]'),
    )
    assert.deepEqual(route.kind === 'HTTPRoute' ? route.spec : undefined, {
      parentRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'waypoint' }],
      rules: [
        {
          matches: [{ path: { type: 'PathPrefix', value: '/' }, headers: [{ type: 'Exact', name: 'a', value: 'b' }] }],
          backendRefs: [{ group: '', kind: 'Service', name: 'a', port: 80, weight: 1 }],
        },
      ],
    })
    assert.equal(route.metadata.namespace, 'default')
  })

  it('the preferred version in place of an older one', () => {
    assert.equal(good(http('{}').replace('/v1,', '/v1beta1,')).apiVersion, 'gateway.networking.k8s.io/v1')
  })

  it('protocol and targetPort of Service ports', () => {
    const made = good('{ apiVersion: v1, kind: Service, metadata: { name: a }, spec: { ports: [ { port: 80 } ] } }')
    assert.deepEqual(made.kind === 'Service' ? made.spec?.ports : undefined, [{ port: 80, protocol: 'TCP', targetPort: 80 }])
  })

  it('that an endpoint which does not say so is ready', () => {
    const slice = (conditions: string): unknown => {
      const made = good(`{ apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: { name: a }, addressType: IPv4, endpoints: [ { addresses: [ 127.0.0.1 ] ${conditions} } ] }`)
      return made.kind === 'EndpointSlice' ? made.endpoints?.[0]?.conditions : undefined
    }
    assert.deepEqual(slice(''), { ready: true })
    assert.deepEqual(slice(', conditions: { ready: null, serving: true }'), { ready: true, serving: true })
    assert.deepEqual(slice(', conditions: { ready: false }'), { ready: false })
  })

  it('a status stays as it was written', () => {
    const route = good(http('{}').replace(/ \}$/, ', status: { parents: [ { anything: goes } ] } }'))
    assert.deepEqual(route.kind === 'HTTPRoute' ? route.status : undefined, { parents: [{ anything: 'goes' }] })
  })
})

describe('what the standard channel would make of it', () => {
  it('is warned of field by field, and only for fields that were written', () => {
    const validation = judge(http('{ retry: { codes: [ 503 ] }, filters: [ { type: ExternalAuth, externalAuth: { protocol: HTTP, http: {}, backendRef: { name: a, port: 80 } } } ] }'))
    assert.equal(validation.kind, 'valid', said(validation).join('\n'))
    assert.deepEqual(
      validation.problems.map(({ path, severity }) => `${severity} ${formatPath(path)}`),
      ['warning spec.rules[0].retry', 'warning spec.rules[0].filters[0].type', 'warning spec.rules[0].filters[0].externalAuth'],
    )
  })

  it('is not said where nobody asked', () => {
    assert.deepEqual(validate(parse(http('{ retry: { codes: [ 503 ] } }')), { gateway: options.gateway }).problems, [])
  })
})
