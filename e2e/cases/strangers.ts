import assert from 'node:assert/strict'
import type { Identity } from '../../src/model/identity.ts'
import { ports } from '../../src/model/install.ts'
import type { ClientMessage } from '../../src/publish/messages.ts'
import type { Attempt, Outcome } from '../app/stranger.ts'
import { defineCases, type Context } from '../lib/case.ts'
import { clientObjects, echo, service, waypointSelector } from '../lib/manifests.ts'
import { attempt, forged, genuine, refusals, sign, toController, tokenOf, toWaypoint } from '../lib/strangers.ts'

const trustDomain = 'cluster.local'

const identity = ({ namespace }: Context, role: string, serviceAccount: string): Identity => ({ trustDomain, namespace: namespace(role), serviceAccount })

/** Asks for a configuration. */
function hello(kind: 'waypoint' | 'entry' | 'controller', of: Identity, namespace = of.namespace): ClientMessage {
  return { type: 'hello', subscriber: { kind, namespace } as Extract<ClientMessage, { type: 'hello' }>['subscriber'], identity: of }
}

/** Attempts with what must come of each, in words. */
async function expectAll(context: Context, from: string, expected: readonly (readonly [what: string, attempt: Attempt, outcome: RegExp])[]): Promise<void> {
  const outcomes = await attempt(context, from, expected.map(([, each]) => each))
  const wrong = expected.flatMap(([what, , pattern], at) => {
    const outcome = words(outcomes[at])
    return pattern.test(outcome) ? [] : [`${what}: ${outcome} in place of ${String(pattern)}`]
  })
  assert.deepEqual(wrong, [])
}

/** An outcome in a line: the last that was said, an answer to a CONNECT, or why there was none. */
function words(outcome: Outcome | undefined): string {
  const last = outcome?.messages?.at(-1)
  if (last !== undefined) return [last.type, last['cause'], last['message']].filter((word) => typeof word === 'string').join(' ')
  return outcome?.text ?? [outcome?.status, outcome?.reason, outcome?.error].filter((word) => word !== undefined).join(' ')
}

/** Who is not of the mesh, and who is but asks for what is not his. */
export const cases = defineCases([
  {
    name: 'strangers get no configuration: without a certificate, with a foreign one, or with one for something else',
    features: ['strangers', 'configuration'],
    manifests: [],
    run: async (context) => {
      const { kube, namespace } = context
      const [waypoint, client] = [identity(context, 'store', 'waypoint'), identity(context, 'store', 'client')]
      const [pod] = await kube.list('Pod', namespace('store'), waypointSelector)
      assert.ok(pod !== undefined)
      const own = await genuine(context, waypoint, pod, 'garden')
      const plain = await genuine(context, client, await kube.get('Pod', namespace('store'), 'client'), 'garden')
      const elsewhere = { ...waypoint, trustDomain: 'other.example' }
      const before = await refusals(context, 'store')
      await expectAll(context, 'garden', [
        // First that the way there is open: everything else would be refused just as well by a wall.
        ['the waypoint itself', toController(context, [hello('waypoint', waypoint)], own), /^update$/],
        ['no certificate', toController(context, [hello('waypoint', waypoint)]), /^refused identity configuration needs a certificate/],
        ['another trust domain', toController(context, [hello('waypoint', elsewhere)], await forged(elsewhere)), /^refused certificate untrusted/],
        ['another root', toController(context, [hello('waypoint', waypoint)], await forged(waypoint)), /^refused certificate untrusted/],
        ['another namespace\'s slice', toController(context, [hello('waypoint', waypoint, namespace('garden'))], own), /^refused identity an identity of store-\w+ may not have the configuration of garden-/],
        ['another namespace\'s name', toController(context, [hello('waypoint', identity(context, 'garden', 'waypoint'))], own), /^refused identity hello names .*\/garden-\w+\/sa\/waypoint, the certificate .*\/store-/],
        ['a plain account for the waypoint\'s slice', toController(context, [hello('waypoint', client)], plain), /^refused identity .*\/sa\/client is not the active waypoint of namespace store-/],
        ['a plain account under the waypoint\'s name', toController(context, [hello('waypoint', waypoint)], plain), /^refused identity hello names .*\/sa\/waypoint, the certificate .*\/sa\/client/],
        ['what only controllers may know', toController(context, [hello('controller', waypoint)], own), /^refused identity only a controller/],
      ])
      const after = await refusals(context, 'store')
      const grown = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0)
      assert.ok(grown('certificate') >= 2 && grown('identity') >= 6, JSON.stringify({ before, after }))
      return `${grown('certificate')} refused for their certificates, ${grown('identity')} for what they asked`
    },
  },
  {
    name: 'strangers get no certificate: by no token, one for another audience, of nothing, of a pod that is gone, or of another account',
    features: ['strangers', 'tokens', 'TokenReview'],
    manifests: [],
    run: async (context) => {
      const { kube, namespace, installation: { images }, apply } = context
      const [waypoint, client] = [identity(context, 'store', 'waypoint'), identity(context, 'store', 'client')]
      const [pod] = await kube.list('Pod', namespace('store'), waypointSelector)
      const own = await kube.get('Pod', namespace('store'), 'client')
      assert.ok(pod !== undefined)
      const gone = (await apply(context.placed(clientObjects('store', images, 'gone').filter(({ kind }) => kind === 'ServiceAccount')), [])).length
      assert.equal(gone, 1)
      // Bound to a pod that is deleted before the token is shown.
      const short = await kube.create({
        apiVersion: 'v1', kind: 'Pod', metadata: { name: 'gone', namespace: namespace('store') },
        spec: { ...(own['spec'] as object), serviceAccountName: 'gone', serviceAccount: 'gone', nodeName: undefined },
      })
      const lost = await tokenOf(context, identity(context, 'store', 'gone'), { pod: short })
      await kube.remove('Pod', namespace('store'), 'gone', 0)
      await context.until('the pod to be gone', async () => (await kube.find('Pod', namespace('store'), 'gone')) === undefined)

      const certificate = await genuine(context, client, own, 'garden')
      const before = await refusals(context, 'store')
      const expected: readonly (readonly [string, Attempt, RegExp])[] = [
        ['a pod\'s own token', toController(context, [sign(await tokenOf(context, client, { pod: own }))]), /^signed$/],
        ['no token', toController(context, [sign()]), /^sign-failed every request for a certificate needs a token/],
        ['no token at all', toController(context, [sign('not a token')]), /^sign-failed the token is not accepted/],
        ['the API server\'s audience', toController(context, [sign(await tokenOf(context, client, { pod: own, audience: undefined }))]), /^sign-failed the token is not (?:accepted|for the audience)/],
        ['another audience', toController(context, [sign(await tokenOf(context, client, { pod: own, audience: 'vault' }))]), /^sign-failed the token is not (?:accepted|for the audience)/],
        ['bound to nothing', toController(context, [sign(await tokenOf(context, waypoint))]), /^sign-failed the token is not bound to a pod/],
        ['of a pod that is gone', toController(context, [sign(lost)]), /^sign-failed the token is not accepted/],
        ['another account\'s beside a certificate', toController(context, [sign(await tokenOf(context, waypoint, { pod }))], certificate), /^sign-failed the token is that of .*\/sa\/waypoint, the certificate that of .*\/sa\/client/],
      ]
      // One after the other, because each waits for the API server's judgement.
      for (const each of expected) await expectAll(context, 'garden', [each])
      const after = await refusals(context, 'store')
      assert.ok((after['token'] ?? 0) - (before['token'] ?? 0) >= 5, JSON.stringify({ before, after }))
    },
  },
  {
    name: 'strangers get no tunnel: without a certificate, with a foreign one, in plain, or to what the waypoint does not serve',
    features: ['strangers', 'HBONE'],
    manifests: [service('store', 'keep', echo.both), service('garden', 'tent', undefined)],
    run: async (context) => {
      const { kube, namespace } = context
      const [waypoint, client] = [identity(context, 'store', 'waypoint'), identity(context, 'garden', 'client')]
      const member = await genuine(context, client, await kube.get('Pod', namespace('garden'), 'client'), 'garden')
      const clusterIp = async (of: string, name: string): Promise<string> => ((await kube.get('Service', of, name))['spec'] as { readonly clusterIP: string }).clusterIP
      const keep = `${await clusterIp(namespace('store'), 'keep')}:80`
      const tent = `${await clusterIp(namespace('garden'), 'tent')}:80`
      const elsewhere = { ...client, trustDomain: 'other.example' }
      const before = await refusals(context, 'store')
      await expectAll(context, 'garden', [
        ['a member', toWaypoint(context, 'store', keep, member), /^200$/],
        ['no certificate', toWaypoint(context, 'store', keep), /^(?:closed|E\w+)/],
        ['another trust domain', toWaypoint(context, 'store', keep, await forged(elsewhere)), /^(?:closed|E\w+)/],
        ['another root', toWaypoint(context, 'store', keep, await forged(waypoint)), /^(?:closed|E\w+)/],
        ['plain HTTP', { host: `waypoint.${namespace('store')}.svc`, port: ports.hbone, say: { kind: 'plain', text: `GET / HTTP/1.1\r\nhost: ${keep}\r\n\r\n` } }, /^(?:$|E)/],
        ['a plain CONNECT', { host: `waypoint.${namespace('store')}.svc`, port: ports.hbone, say: { kind: 'plain', text: `CONNECT ${keep} HTTP/1.1\r\nhost: ${keep}\r\n\r\n` } }, /^(?:$|E)/],
        ['an address outside', toWaypoint(context, 'store', '203.0.113.9:80', member), /^\d+ unknown-destination/],
        ['the API server', toWaypoint(context, 'store', `${await clusterIp('default', 'kubernetes')}:443`, member), /^(?:421|502) (?:unknown-destination|wrong-waypoint)/],
        ['another namespace\'s Service', toWaypoint(context, 'store', tent, member), /^(?:421|502) (?:unknown-destination|wrong-waypoint)/],
        ['a pod, past its Service', toWaypoint(context, 'store', '127.0.0.1:15000', member), /^\d+ unknown-destination/],
      ])
      const after = await refusals(context, 'store')
      const grown = (after['waypoint'] ?? 0) - (before['waypoint'] ?? 0)
      assert.ok(grown >= 9, JSON.stringify({ before, after }))
      return `${grown} refused`
    },
  },
])
