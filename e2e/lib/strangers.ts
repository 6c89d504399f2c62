import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { createCa } from '../../ca/server.ts'
import { memoryStore } from '../../ca/store.ts'
import { systemClock } from '../../src/kit/clock.ts'
import type { Issued } from '../../src/model/credentials.ts'
import type { Identity } from '../../src/model/identity.ts'
import { install, ports } from '../../src/model/install.ts'
import type { ClientMessage } from '../../src/publish/messages.ts'
import type { Attempt, Outcome } from '../app/stranger.ts'
import type { Context, Role } from './case.ts'
import { controllerPods } from './install.ts'
import type { KubeObject } from './objects.ts'
import { scrape, sumOf } from './scrape.ts'

/** Somebody who shows a certificate. */
export type Certificate = NonNullable<Attempt['certificate']>

/** Makes attempts from a container `driver`, by default that of a role's client. @returns their outcomes, in the same order */
export async function attempt({ kube, namespace }: Context, role: Role, attempts: readonly Attempt[], pod = 'client'): Promise<readonly Outcome[]> {
  const said = await kube.kubectl(['exec', '-i', '-n', namespace(role), pod, '-c', 'driver', '--', 'node', '/app/stranger.ts'], { input: JSON.stringify(attempts) })
  return JSON.parse(said) as readonly Outcome[]
}

/** What is said to a controller. */
export function toController({ installation }: Context, messages: readonly ClientMessage[], certificate?: Certificate): Attempt {
  return {
    host: `${installation.controller}.${installation.namespace}.svc`, port: ports.control, say: { kind: 'messages', messages },
    ...(certificate === undefined ? {} : { certificate }),
  }
}

/** A CONNECT to the waypoint of a role. */
export function toWaypoint({ namespace }: Context, role: Role, authority: string, certificate?: Certificate): Attempt {
  return { host: `waypoint.${namespace(role)}.svc`, port: ports.hbone, say: { kind: 'tunnel', authority }, ...(certificate === undefined ? {} : { certificate }) }
}

/** A key pair, PEM. */
export function newKey(): { readonly publicKeyPem: string; readonly privateKeyPem: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  return { publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(), privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

/** A request for a certificate. */
export function sign(token?: string): ClientMessage {
  return { type: 'sign', id: 1, publicKeyPem: newKey().publicKeyPem, ...(token === undefined ? {} : { token }) }
}

/** A certificate of a CA that the mesh knows nothing of. */
export async function forged(identity: Identity): Promise<Certificate> {
  const { publicKeyPem, privateKeyPem } = newKey()
  const ca = await createCa({ store: memoryStore(), trustDomain: identity.trustDomain, clock: systemClock })
  const { certificateChainPem } = await ca.issue(identity, publicKeyPem)
  return { certificateChainPem, privateKeyPem }
}

/** A certificate of the mesh's own CA, as a pod gets it. @param pod to which the token is bound, of the account's namespace @param through the pod that asks */
export async function genuine(context: Context, identity: Identity, pod: KubeObject, from: Role, through?: string): Promise<Certificate> {
  const { publicKeyPem, privateKeyPem } = newKey()
  const token = await tokenOf(context, identity, { pod })
  const [outcome] = await attempt(context, from, [toController(context, [{ type: 'sign', id: 1, publicKeyPem, token }])], through)
  const signed = outcome?.messages?.find(({ type }) => type === 'signed')
  assert.ok(signed !== undefined, JSON.stringify(outcome))
  return { certificateChainPem: (signed['issued'] as Issued).certificateChainPem, privateKeyPem }
}

export interface TokenOptions {
  /** Default: the mesh's; `undefined` by name: that of the API server. */
  readonly audience?: string | undefined
  /** What the token is bound to; undefined: nothing. */
  readonly pod?: KubeObject
}

/** A token of a service account, by the TokenRequest API. */
export async function tokenOf({ kube }: Context, { namespace, serviceAccount }: Pick<Identity, 'namespace' | 'serviceAccount'>, options: TokenOptions = {}): Promise<string> {
  const { pod } = options
  const audience = 'audience' in options ? options.audience : install.tokenAudience
  const request = {
    apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest',
    spec: {
      expirationSeconds: 600,
      ...(audience === undefined ? {} : { audiences: [audience] }),
      ...(pod === undefined ? {} : { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name, uid: pod.metadata.uid } }),
    },
  }
  const { status } = (await kube.raw('POST', `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`, request)) as { readonly status: { readonly token: string } }
  return status.token
}

/** What controllers and the waypoints of a role have counted as refused. */
export async function refusals(context: Context, role: Role): Promise<Readonly<Record<string, number>>> {
  const { kube, namespace, installation } = context
  const samplesOf = async (where: string, selector: string) =>
    (await Promise.all((await kube.list('Pod', where, selector)).map(({ metadata }) => scrape(kube, where, metadata.name)))).flat()
  const control = await samplesOf(installation.namespace, controllerPods)
  const waypoints = await samplesOf(namespace(role), 'gateway.networking.k8s.io/gateway-name=waypoint')
  const refused = (cause: string): number => sumOf(control, 'waymark_publish_refused_total', { cause })
  return {
    certificate: refused('certificate'), identity: refused('identity'),
    token: sumOf(control, 'waymark_token_reviews_total', { result: 'refused' }),
    waypoint: sumOf(waypoints, 'waymark_events_total', { event: 'connection-refused' }),
  }
}
