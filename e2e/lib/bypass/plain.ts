import type { Attempt } from '../../app/stranger.ts'
import type { Row } from './table.ts'
import type { Scene } from './scene.ts'

/** A request, byte for byte. @param headers lines; `host: …` in place of the usual one, `Host: …` beside it */
export function spoken(path: string, headers: readonly string[] = [], method = 'GET'): string {
  const host = headers.some((line) => line.startsWith('host:')) ? [] : ['host: guarded']
  return [`${method} ${path} HTTP/1.1`, ...host, 'connection: close', ...headers, '', ''].join('\r\n')
}

/** It, straight to an address. */
export function to(host: string, port: number, path = '/public', headers: readonly string[] = [], method = 'GET'): Attempt {
  return { host, port, say: { kind: 'plain', text: spoken(path, headers, method) } }
}

const guarded = (path = '/public', headers: readonly string[] = [], method = 'GET') => ({ vip }: Scene): Attempt => to(vip.guarded, 80, path, headers, method)
/** How a connection ends that is refused. */
export const cut = /^(?:ECONNRESET|ECONNREFUSED|EPIPE|closed)/
/** Waypoints say so, in place of a cut. */
const cutBehindWaypoint = /^50[23] (?:connect-failure|upstream-reset)$/
const denied = /^403 denied$/
/** The way is open, for whom and for what policies mean. */
const permitted = { by: 'a', attempt: guarded() } as const

/** Straight to pods and Services, in plain. */
export const inPlain: readonly Row[] = [
  { name: 'a member, by the address of a pod behind an L7-protected Service', by: 'a', attempt: ({ ip }) => to(ip.v1, 8080), refused: cut },
  { name: 'the same on the other node', by: 'a', attempt: ({ ip }) => to(ip.v2, 8080), refused: cut },
  { name: 'another member, by the address of a pod', by: 'thief', attempt: ({ ip }) => to(ip.v2, 8080), refused: cut },
  { name: 'a stranger, by the address of a pod behind an L7-protected Service, from another node', by: 'stranger', attempt: ({ ip }) => to(ip.v1, 8080), refused: cut },
  { name: '… and from the same node', by: 'far', attempt: ({ ip }) => to(ip.v1, 8080), refused: cut },
  { name: 'a stranger by the cluster IP of an L7-protected Service', by: 'stranger', attempt: guarded(), refused: cut },
  { name: 'a stranger who says in x-forwarded-client-cert that he is somebody', by: 'stranger', attempt: (scene) => to(scene.ip.v1, 8080, '/public', [`x-forwarded-client-cert: URI=${scene.id('shop', 'default')}`]), refused: cut },
  { name: 'a stranger by a NodePort of the pod\'s node', by: 'stranger', attempt: ({ nodeIp, nodePort }) => to(nodeIp['control-plane'], nodePort), refused: cut },
  { name: 'a stranger by a NodePort of another node', by: 'far', attempt: ({ nodeIp, nodePort }) => to(nodeIp.worker, nodePort), refused: cut },
  { name: 'the network of another node, to an L7-protected pod', by: 'host', attempt: ({ ip }) => to(ip.v1, 8080), refused: cut },
  { name: 'the network of another node, to a strict pod', by: 'farHost', attempt: ({ ip }) => to(ip.plot, 8080), refused: cut },
  { name: 'the network of the same node, as another user than root, to a strict pod', by: 'host', attempt: ({ ip }) => to(ip.plot, 8080), refused: cut },
  { name: '… to an L7-protected pod', by: 'farHost', attempt: ({ ip }) => to(ip.v1, 8080), refused: cut },
  { name: 'in plain to the application\'s port of a strict pod, from the same node', by: 'stranger', attempt: ({ ip }) => to(ip.plot, 8080), refused: cut },
  { name: '… from another node', by: 'far', attempt: ({ ip }) => to(ip.plot, 8080), refused: cut },
  { name: 'in plain to the Service of a strict pod', by: 'far', attempt: ({ context }) => to(`plot.${context.namespace('garden')}.svc`, 80), refused: cut },
  { name: 'in plain to another port of a strict pod', by: 'stranger', attempt: ({ ip }) => ({ host: ip.plot, port: 9000, waitMs: 3_000, say: { kind: 'plain', text: 'ping' } }), refused: cut, control: { attempt: ({ ip }) => to(ip.plot, 8080), open: true } },
  { name: 'the agent\'s port for what comes in plain', by: 'stranger', attempt: ({ ip }) => to(ip.plot, 15_006), refused: cut, control: { attempt: ({ ip }) => to(ip.plot, 8080), open: true } },
  { name: 'the agent\'s port for what pods send, as a relay', by: 'stranger', attempt: ({ ip }) => to(ip.plot, 15_001), refused: cut, control: { attempt: ({ ip }) => to(ip.plot, 8080), open: true } },
  { name: 'plain HTTP to the port for mutual TLS', by: 'stranger', attempt: ({ ip }) => to(ip.plot, 15_008), refused: cut, control: { attempt: ({ ip }) => to(ip.plot, 8080), open: true } },
  { name: 'a CONNECT in plain to that port', by: 'stranger', attempt: ({ ip }) => to(ip.plot, 15_008, `${ip.plot}:8080`, [], 'CONNECT'), refused: cut, control: { attempt: ({ ip }) => to(ip.plot, 8080), open: true } },
  { name: 'a member that policies do not name, to a pod', by: 'thief', attempt: ({ ip }) => to(ip.plot, 8080), refused: cut },
  { name: 'a member of the pod\'s own namespace whom they do not name either', by: 'c', attempt: ({ ip }) => to(ip.plot, 8080), refused: cut },
  { name: 'a member with another address than the one that is allowed', by: 'thief', attempt: ({ ip }) => to(ip.patch, 8080), refused: cut },
  { name: '… who says in Forwarded that it is his', by: 'thief', attempt: ({ ip }) => to(ip.patch, 8080, '/public', [`forwarded: for=${ip.a}`, `x-forwarded-for: ${ip.a}`]), refused: cut },
  { name: 'a hand-made EndpointSlice that names an L7-protected pod', by: 'a', attempt: ({ context }) => to(`lure.${context.namespace('shop')}.svc`, 80), refused: cutBehindWaypoint },
  { name: 'a hand-made EndpointSlice that names a guarded pod', by: 'thief', attempt: ({ context }) => to(`lure-plot.${context.namespace('shop')}.svc`, 80), refused: cutBehindWaypoint },
  { name: '… by a stranger', by: 'stranger', attempt: ({ context }) => to(`lure-plot.${context.namespace('shop')}.svc`, 80), refused: cut },
  { name: 'a hand-made EndpointSlice that names a pod\'s port of the agent', by: 'thief', attempt: ({ context }) => to(`lure-agent.${context.namespace('shop')}.svc`, 80), refused: cutBehindWaypoint, control: { attempt: ({ context }) => to(`lure-plot.${context.namespace('shop')}.svc`, 80), open: true } },
]

const forgery = (name: string, headers: (scene: Scene) => readonly string[]): Row => ({
  name: `a member that is not allowed, with ${name}`, by: 'thief', attempt: (scene) => guarded('/public', headers(scene))(scene), refused: denied,
})
const spelling = (path: string): Row => ({ name: `the path ${path} against an Allow of /public`, by: 'a', attempt: guarded(path), refused: /^(?:403 denied|400 \S+)$/, control: permitted })
const admin = (path: string): Row => ({
  name: `the path ${path} against a Deny of /admin`, by: 'a', attempt: ({ vip }) => to(vip.shut, 80, path), refused: /^403 denied$/,
  control: { attempt: ({ vip }) => to(vip.shut, 80, '/elsewhere') },
})

/** As requests at the waypoint. */
export const asRequests: readonly Row[] = [
  { name: 'a member, to another path', by: 'a', attempt: guarded('/private'), refused: denied },
  { name: 'by another method', by: 'a', attempt: guarded('/public', ['content-length: 0'], 'POST'), refused: denied },
  { name: 'by another method that it calls an override', by: 'a', attempt: guarded('/public', ['content-length: 0', 'x-http-method-override: GET'], 'POST'), refused: denied },
  { name: 'another account of the same namespace', by: 'thief', attempt: guarded(), refused: denied },
  { name: 'a member of another namespace', by: 'c', attempt: guarded(), refused: denied },
  forgery('an x-forwarded-client-cert of somebody who is', (scene) => [`x-forwarded-client-cert: By=${scene.id('store', 'default')};URI=${scene.id('shop', 'default')}`]),
  forgery('a Forwarded of somebody who is', ({ ip }) => [`forwarded: for=${ip.a}`, `x-forwarded-for: ${ip.a}`, `x-real-ip: ${ip.a}`]),
  forgery('a baggage of somebody who is', ({ context }) => [`baggage: k8s.namespace.name=${context.namespace('shop')},service.name=a`]),
  forgery('the header in which waypoints say for whom they speak', (scene) => [`x-waypoint-client: ${scene.id('shop', 'default')}`]),
  forgery('the header by which they ask for no routes', (scene) => ['x-waypoint-routes: off', `x-waypoint-client: ${scene.id('shop', 'default')}`]),
  forgery('the Host of another Service', () => ['host: shut']),
  ...['/private?/public', '/public/../private', '/public/%2e%2e/private', '/public/..;/private', '/public;/../private', '/public%2f..%2fprivate', '/public/%252e%252e/private', '/public\\..\\..\\private', '/Public', '//private', 'http://guarded/private'].map(spelling),
  ...['/admin', '/Admin', '/admin/', '/admin;x=1', '/admin.', '/%61dmin', '/%2561dmin', '/x/../admin', '/x/%252e%252e/admin', '//admin', '/./admin'].map(admin),
  { name: 'a second request behind an allowed one', by: 'a', attempt: ({ vip }) => ({ host: vip.guarded, port: 80, say: { kind: 'plain', text: `${spoken('/public').replace('close', 'keep-alive')}${spoken('/private')}` } }), refused: /^200 403 denied saw \/public$/, sees: ['/public'], control: permitted },
  { name: 'a request that has two lengths', by: 'a', attempt: guarded('/public', ['content-length: 5', 'transfer-encoding: chunked'], 'GET'), refused: /^400 /, control: permitted },
  { name: 'a request that has two Hosts', by: 'a', attempt: guarded('/public', ['Host: shut']), refused: /^400 /, control: permitted },
  { name: 'a path that consumer routes rewrite to a forbidden one', by: 'a', attempt: ({ context }) => to(`rewritten.${context.namespace('store')}.svc`, 80), refused: denied },
]
