import type { Attempt } from '../../app/stranger.ts'
import { install, ports } from '../../../src/model/install.ts'
import type { ClientMessage } from '../../../src/publish/messages.ts'
import { sign, toController, type Certificate } from '../strangers.ts'
import { spoken } from './plain.ts'
import type { Scene } from './scene.ts'
import type { Row } from './table.ts'

/** A tunnel by hand: HBONE to a host, and a request through it. */
function tunnel(host: string, authority: string, certificate: Certificate | undefined, headers: Readonly<Record<string, string>> = {}, path = '/public'): Attempt {
  return { host, port: ports.hbone, say: { kind: 'tunnel', authority, headers, text: spoken(path) }, ...(certificate === undefined ? {} : { certificate }) }
}

const unproven = /^(?:closed without a word|E\w+: )/
const badRequest = /^400 (?:wrong-workload|malformed-request)$/
/** Who is let in to `plot` gets there by a tunnel of his own. */
const plotOf = (certificate: (scene: Scene) => Certificate | undefined, headers: (scene: Scene) => Readonly<Record<string, string>> = () => ({})) =>
  (scene: Scene): Attempt => tunnel(scene.ip.plot, `${scene.ip.plot}:8080`, certificate(scene), headers(scene))
const letIn = { by: 'stranger', attempt: plotOf(({ certificate }) => certificate.default) } as const
const elsewhere = (what: string, authority: (scene: Scene) => string): Row => ({
  name: `a CONNECT to a pod for ${what}`, by: 'stranger', attempt: (scene) => tunnel(scene.ip.plot, authority(scene), scene.certificate.default), refused: badRequest, control: letIn,
})
const waypointOf = ({ context }: Scene): string => `waypoint.${context.namespace('store')}.svc`
const byWaypoint = (certificate: (scene: Scene) => Certificate | undefined, headers: (scene: Scene) => Readonly<Record<string, string>> = () => ({}), authority = ({ vip }: Scene) => `${vip.guarded}:80`, path = '/public') =>
  (scene: Scene): Attempt => tunnel(waypointOf(scene), authority(scene), certificate(scene), headers(scene), path)
const servedByWaypoint = { by: 'stranger', attempt: byWaypoint(({ certificate }) => certificate.default) } as const
/** As shop's waypoint does for its own clients. */
const spokenFor = { by: 'stranger', attempt: byWaypoint(({ certificate }) => certificate.shopWaypoint, (scene) => ({ 'x-waypoint-client': scene.id('shop', 'default'), 'x-waypoint-routes': 'off' })) } as const

/** By TLS of their own, as whoever has a certificate can. */
export const byTunnel: readonly Row[] = [
  { name: 'HBONE to a pod without a certificate', by: 'stranger', attempt: plotOf(() => undefined), refused: unproven, control: letIn },
  { name: 'with the right name in a certificate of another root', by: 'stranger', attempt: plotOf(({ certificate }) => certificate.otherRoot), refused: unproven, control: letIn },
  { name: 'with a certificate of another trust domain', by: 'stranger', attempt: plotOf(({ certificate }) => certificate.otherDomain), refused: unproven, control: letIn },
  { name: 'with the certificate of an account that is not allowed', by: 'stranger', attempt: plotOf(({ certificate }) => certificate.thief), refused: /^401 denied$/ },
  { name: 'with that of the pod\'s own account', by: 'stranger', attempt: plotOf(({ certificate }) => certificate.c), refused: /^401 denied$/ },
  { name: '… that says it speaks for one that is', by: 'stranger', attempt: plotOf(({ certificate }) => certificate.thief, (scene) => ({ 'x-waypoint-client': scene.id('shop', 'default') })), refused: /^400 malformed-request$/, control: letIn },
  { name: '… with routes off', by: 'stranger', attempt: plotOf(({ certificate }) => certificate.thief, () => ({ 'x-waypoint-routes': 'off' })), refused: /^400 malformed-request$/, control: letIn },
  { name: '… with an x-forwarded-client-cert on the CONNECT', by: 'stranger', attempt: plotOf(({ certificate }) => certificate.thief, (scene) => ({ 'x-forwarded-client-cert': `URI=${scene.id('shop', 'default')}` })), refused: /^401 denied$/, control: letIn },
  { name: '… with a baggage of one that is', by: 'stranger', attempt: plotOf(({ certificate }) => certificate.thief, ({ context }) => ({ baggage: `k8s.namespace.name=${context.namespace('shop')}` })), refused: /^401 denied$/, control: letIn },
  { name: 'with a Forwarded that names an allowed address', by: 'stranger', attempt: ({ ip, certificate }) => tunnel(ip.patch, `${ip.patch}:8080`, certificate.thief, { forwarded: `for="${ip.a}"` }), refused: /^401 denied$/ },
  { name: 'a waypoint of another namespace that names an allowed address of a third', by: 'stranger', attempt: (scene) => tunnel(scene.ip.patch, `${scene.ip.patch}:8080`, scene.certificate.shopWaypoint, { 'x-waypoint-client': scene.id('shop', 'thief'), 'forwarded': `for="${scene.ip.c}"` }), refused: /^401 denied$/, control: { attempt: (scene) => tunnel(scene.ip.patch, `${scene.ip.patch}:8080`, scene.certificate.shopWaypoint, { 'x-waypoint-client': scene.id('shop', 'thief'), 'forwarded': `for="${scene.ip.a}"` }) } },
  { name: 'a waypoint of another namespace that speaks for a client of a third', by: 'stranger', attempt: plotOf(({ certificate }) => certificate.shopWaypoint, (scene) => ({ 'x-waypoint-client': scene.id('garden', 'default') })), refused: /^400 malformed-request$/, control: { attempt: plotOf(({ certificate }) => certificate.shopWaypoint, (scene) => ({ 'x-waypoint-client': scene.id('shop', 'default') })) } },
  elsewhere('another pod', ({ ip }) => `${ip.patch}:8080`),
  elsewhere('its loopback', () => '127.0.0.1:8080'),
  elsewhere('its loopback by name', () => 'localhost:8080'),
  elsewhere('its loopback by IPv6', () => '[::1]:8080'),
  elsewhere('its address, written as IPv6', ({ ip }) => `[::ffff:${ip.plot}]:8080`),
  elsewhere('any address', () => '0.0.0.0:8080'),
  elsewhere('its Service', ({ context }) => `plot.${context.namespace('garden')}.svc:80`),
  elsewhere('the agent\'s pages', () => '127.0.0.1:15000'),
  elsewhere('the agent\'s port for what comes in plain', ({ ip }) => `${ip.plot}:15006`),
  elsewhere('the agent\'s port for what it sends', ({ ip }) => `${ip.plot}:15001`),
  elsewhere('the API server', () => 'kubernetes.default.svc:443'),
  { name: 'an allowed account to an L7-protected pod, past its waypoint', by: 'stranger', attempt: ({ ip, certificate }) => tunnel(ip.v1, `${ip.v1}:8080`, certificate.default), refused: /^401 waypoint-required$/ },
  { name: 'another namespace\'s waypoint to an L7-protected pod', by: 'stranger', attempt: (scene) => tunnel(scene.ip.v1, `${scene.ip.v1}:8080`, scene.certificate.shopWaypoint, { 'x-waypoint-client': scene.id('shop', 'default') }), refused: /^401 waypoint-required$/, control: { attempt: plotOf(({ certificate }) => certificate.shopWaypoint, (scene) => ({ 'x-waypoint-client': scene.id('shop', 'default') })) } },
  { name: 'an L7-protected pod\'s TCP port, past its waypoint', by: 'stranger', attempt: ({ ip, certificate }) => tunnel(ip.v1, `${ip.v1}:9000`, certificate.default), refused: /^401 waypoint-required$/, control: { attempt: ({ ip, certificate }) => tunnel(ip.v1, `${ip.v1}:8080`, certificate.default), open: true } },
  { name: 'HBONE to the waypoint without a certificate', by: 'stranger', attempt: byWaypoint(() => undefined), refused: unproven, control: servedByWaypoint },
  { name: 'with the right name of another root', by: 'stranger', attempt: byWaypoint(({ certificate }) => certificate.otherRoot), refused: unproven, control: servedByWaypoint },
  { name: 'an account that is not allowed, through the waypoint', by: 'stranger', attempt: byWaypoint(({ certificate }) => certificate.thief), refused: /^200 403 denied$/ },
  { name: '… that asks for no routes', by: 'stranger', attempt: byWaypoint(({ certificate }) => certificate.thief, () => ({ 'x-waypoint-routes': 'off' })), refused: /^403 denied$/, control: servedByWaypoint },
  { name: '… that speaks for one that is', by: 'stranger', attempt: byWaypoint(({ certificate }) => certificate.thief, (scene) => ({ 'x-waypoint-client': scene.id('shop', 'default'), 'x-waypoint-routes': 'off' })), refused: /^403 denied$/, control: servedByWaypoint },
  { name: 'another waypoint that speaks for one of its clients that is not allowed', by: 'stranger', attempt: byWaypoint(({ certificate }) => certificate.shopWaypoint, (scene) => ({ 'x-waypoint-client': scene.id('shop', 'thief'), 'x-waypoint-routes': 'off' })), refused: /^200 403 denied$/, control: spokenFor },
  { name: 'another waypoint that speaks for a client of the guarded namespace', by: 'stranger', attempt: byWaypoint(({ certificate }) => certificate.shopWaypoint, (scene) => ({ 'x-waypoint-client': scene.id('store', 'default'), 'x-waypoint-routes': 'off' })), refused: /^403 denied$/, control: spokenFor },
  { name: 'another waypoint that asks for another path', by: 'stranger', attempt: byWaypoint(({ certificate }) => certificate.shopWaypoint, (scene) => ({ 'x-waypoint-client': scene.id('shop', 'default'), 'x-waypoint-routes': 'off' }), undefined, '/private'), refused: /^200 403 denied$/, control: spokenFor },
  { name: 'the waypoint as a relay to a pod\'s address', by: 'stranger', attempt: byWaypoint(({ certificate }) => certificate.default, undefined, ({ ip }) => `${ip.v1}:8080`), refused: /^(?:421|502) \S+$/, control: servedByWaypoint },
  { name: 'the waypoint as a relay to another namespace', by: 'stranger', attempt: byWaypoint(({ certificate }) => certificate.thief, undefined, ({ ip }) => `${ip.plot}:8080`), refused: /^(?:421|502) \S+$/, control: servedByWaypoint },
  { name: 'the waypoint as a relay to its own pages', by: 'stranger', attempt: byWaypoint(({ certificate }) => certificate.default, undefined, () => '127.0.0.1:15000'), refused: /^(?:421|502) \S+$/, control: servedByWaypoint },
]

/** Asks for a certificate in another's name, by a token and the certificate of the same owner. */
const ask = (who: keyof Scene['token'], onBehalfOf: (scene: Scene) => string) => (scene: Scene): Attempt => {
  const { context, certificate, token } = scene
  const agent = who === 'workerAgent' || who === 'controlPlaneAgent'
  const [namespace, serviceAccount] = agent ? [context.installation.namespace, install.agent] : who === 'c' ? [context.namespace('garden'), 'default'] : [context.namespace('shop'), 'thief']
  const { say, ...more } = toController(context, [hello(agent ? 'agent' : 'entry', namespace, serviceAccount), { ...sign(token[who]), onBehalfOf: onBehalfOf(scene) } as ReturnType<typeof sign>], certificate[who])
  return { ...more, say: { ...say, last: ['signed', 'sign-failed', 'refused'] } as typeof say }
}

function hello(kind: 'agent' | 'entry', namespace: string, serviceAccount: string): ClientMessage {
  return { type: 'hello', subscriber: { kind, namespace }, identity: { trustDomain: 'cluster.local', namespace, serviceAccount } }
}

const signedFor = { by: 'stranger', attempt: ask('workerAgent', ({ id }) => id('shop', 'thief')), reaches: /^signed/ } as const
const inAnothersName = (what: string, who: keyof Scene['token'], onBehalfOf: (scene: Scene) => string): Row => ({
  name: `${what} for a certificate in another's name`, by: 'stranger', attempt: ask(who, onBehalfOf), refused: /^sign-failed .*(?:is no node agent|only a node's agent|no pod of the mesh with the identity)/, control: signedFor,
})

/** At the controller, for what is another's. */
export const byToken: readonly Row[] = [
  inAnothersName('another namespace\'s token', 'c', ({ id }) => id('shop', 'default')),
  inAnothersName('a token of the same namespace', 'thief', ({ id }) => id('shop', 'default')),
  inAnothersName('the agent of another node', 'controlPlaneAgent', ({ id }) => id('shop', 'thief')),
  inAnothersName('the agent, in a waypoint\'s,', 'workerAgent', ({ id }) => id('store', 'waypoint')),
  inAnothersName('the agent, in a controller\'s,', 'workerAgent', ({ context }) => `spiffe://cluster.local/ns/${context.installation.namespace}/sa/${context.installation.controller}`),
  {
    name: 'a member for the configuration of an agent', by: 'stranger', refused: /^refused identity /,
    attempt: ({ context, certificate }) => toController(context, [hello('agent', context.namespace('shop'), 'default')], certificate.default),
    control: { reaches: /^update/, attempt: ({ context, certificate }) => toController(context, [hello('entry', context.namespace('shop'), 'default')], certificate.default) },
  },
]
