import { compilePattern } from '../kit/regex.ts'
import type { PolicyCall, PolicyOperation } from '../model/policy.ts'
import type { NamedMatch } from '../model/route.ts'
import { opposite, type Certainty, type RequestAttributes } from './attributes.ts'
import { compilePath } from './path.ts'
import type { Test } from './source.ts'

type RequestTest = (request: RequestAttributes) => boolean

/** Whether a waypoint must read requests to judge an operation. */
export function isHttp(operation: PolicyOperation): boolean {
  const { methods, notMethods, paths, notPaths, hosts, notHosts, headers, notHeaders, grpc, notGrpc } = operation
  return [methods, notMethods, paths, notPaths, hosts, notHosts, headers, notHeaders, grpc, notGrpc].some((each) => each !== undefined)
}

/**
 * Compiles an operation. Where there is no request to be read, what is said of requests counts against the caller, unless a waypoint has
 * judged it before.
 */
export function compileOperation(operation: PolicyOperation, certainty: Certainty): Test {
  const { ports, notPorts } = operation
  const has = (wanted: readonly number[], present: readonly number[]): boolean => present.some((port) => wanted.includes(port))
  const tests = requestTests(operation, certainty)
  return (attributes) => {
    if (ports !== undefined && !has(ports, attributes.ports)) return false
    if (notPorts !== undefined && has(notPorts, attributes.ports)) return false
    if (tests.length === 0) return true
    const { request } = attributes
    if (request === undefined) return (certainty === 'surely') === (attributes.judgedByWaypoint === true)
    return tests.every((test) => test(request))
  }
}

function requestTests(operation: PolicyOperation, certainty: Certainty): readonly RequestTest[] {
  const { methods, notMethods, paths, notPaths, hosts, notHosts, headers, notHeaders, grpc, notGrpc } = operation
  const other = opposite(certainty)
  const tests: RequestTest[] = []
  const add = <T>(values: T | undefined, compile: (values: T, certainty: Certainty) => RequestTest): void => {
    if (values !== undefined) tests.push(compile(values, certainty))
  }
  const addNot = <T>(values: T | undefined, compile: (values: T, certainty: Certainty) => RequestTest): void => {
    if (values === undefined) return
    const named = compile(values, other)
    tests.push((request) => !named(request))
  }
  add(methods, methodTest)
  addNot(notMethods, methodTest)
  add(paths, pathTest)
  addNot(notPaths, pathTest)
  add(hosts, hostTest)
  addNot(notHosts, hostTest)
  add(headers, (all, sure) => {
    const each = all.map((match) => headerTest(match, sure))
    return (request) => each.every((test) => test(request))
  })
  addNot(notHeaders, (all, sure) => {
    const each = all.map((match) => headerTest(match, sure))
    return (request) => each.some((test) => test(request))
  })
  add(grpc, callTest)
  addNot(notGrpc, callTest)
  return tests
}

/** Methods know case, but there are servers that do not. */
function methodTest(methods: readonly string[], certainty: Certainty): RequestTest {
  const wanted = new Set(certainty === 'surely' ? methods : methods.map((each) => each.toUpperCase()))
  return ({ method }) => wanted.has(certainty === 'surely' ? method : method.toUpperCase())
}

function pathTest(paths: NonNullable<PolicyOperation['paths']>, certainty: Certainty): RequestTest {
  const tests = paths.map((path) => compilePath(path, certainty))
  return ({ path }) => tests.some((test) => test(path))
}

/** Hosts are compared without port and trailing dot. */
function hostTest(hosts: readonly string[], certainty: Certainty): RequestTest {
  const tests = hosts.map((given) => {
    const host = given.toLowerCase().replace(/\.$/, '')
    if (host === '*') return () => true
    if (host.startsWith('*.')) return (name: string) => name.endsWith(host.slice(1)) && name.length > host.length - 1
    return (name: string) => name === host
  })
  return ({ authority }) => {
    const name = authority.toLowerCase().replace(/:\d*$/, '').replace(/\.+$/, '')
    // A server that is told no host takes one of its own.
    if (name === '') return certainty === 'possibly'
    return tests.some((test) => test(name))
  }
}

/**
 * A header that comes several times may be read as its first, its last or all of its lines, and many application servers read `_` in a
 * name as `-`: surely only if every line fits, possibly if one of them does, a part between commas, or all of them joined.
 */
function headerTest(match: NamedMatch, certainty: Certainty): RequestTest {
  const wanted = fold(match.name.toLowerCase())
  const fits = match.type === 'regex' ? compilePattern(match.value).test : (value: string): boolean => value === match.value
  return (request) => {
    const values = wanted === 'host' ? [request.authority] : valuesOf(request.headers, wanted)
    if (values.length === 0) return false
    if (certainty === 'surely') return values.every(fits)
    return values.some((value) => fits(value) || value.split(',').some((part) => fits(part.trim()))) || fits(values.join(',')) || fits(values.join(', '))
  }
}

function fold(name: string): string {
  return name.includes('_') ? name.replaceAll('_', '-') : name
}

function valuesOf(headers: readonly string[], wanted: string): readonly string[] {
  const values: string[] = []
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] ?? ''
    if (name.length === wanted.length && fold(name) === wanted) values.push(headers[at + 1] ?? '')
  }
  return values
}

/** A call is a path `/service/method`; it is surely one only if its content-type says so as well. */
function callTest(calls: readonly PolicyCall[], certainty: Certainty): RequestTest {
  const tests = calls.map(({ service, method }) => {
    if (service !== undefined && method !== undefined) return compilePath({ type: 'exact', value: `/${service}/${method}` }, certainty)
    if (service !== undefined) return compilePath({ type: 'prefix', value: `/${service}` }, certainty)
    if (method === undefined) return () => true
    const last = compilePath({ type: 'exact', value: `/${method}` }, certainty)
    return (path: string) => last(path.slice(Math.max(0, path.lastIndexOf('/', path.length - 2))))
  })
  return ({ path, grpc }) => (grpc || certainty === 'possibly') && tests.some((test) => test(path))
}
