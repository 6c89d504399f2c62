import assert from 'node:assert/strict'
import { startApiServer, type ApiServer } from '../../test/simulated/api-server.ts'
import type { TokenReviewSpec, TokenReviewStatus } from '../../test/simulated/reviews.ts'
import type { KubeObject } from '../kube/object.ts'
import { install } from '../model/install.ts'
import { createTokenReviewer, type TokenReviewerOptions } from './token-review.ts'

const till = { trustDomain: 'mesh.example', namespace: 'shop', serviceAccount: 'till' }
const extra = (name: unknown, uid: unknown): object => ({ extra: { 'authentication.kubernetes.io/pod-name': name, 'authentication.kubernetes.io/pod-uid': uid } })
const good = { authenticated: true, audiences: [install.tokenAudience], user: { username: 'system:serviceaccount:shop:till', ...extra(['till-1'], ['u1']) } }

describe('the review of a token', () => {
  let server: ApiServer
  let answer: ((spec: TokenReviewSpec) => TokenReviewStatus) | undefined
  beforeEach(async () => {
    answer = undefined
    server = await startApiServer({ tokenReview: (spec) => (answer ?? server.tokens.review)(spec) })
  })
  afterEach(() => server.close())
  const reviewer = (changes: Partial<TokenReviewerOptions> = {}): ReturnType<typeof createTokenReviewer> =>
    createTokenReviewer({ client: server.client(), trustDomain: 'mesh.example', ...changes })

  const refusal = async (token: string): Promise<string> => {
    const said = await reviewer()(token)
    assert.ok(typeof said === 'string', 'the token was accepted')
    return said
  }

  const pod = (): KubeObject => server.put({ apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'shop', name: 'till-1' } })

  it("gives the identity and the pod of a pod's token with our audience, until the pod is gone", async () => {
    const { uid = '' } = pod().metadata
    const token = server.tokens.issue({ namespace: 'shop', serviceAccount: 'till', audiences: [install.tokenAudience], pod: { name: 'till-1', uid } })
    assert.deepEqual(await reviewer()(token), { identity: till, pod: { name: 'till-1', uid } })
    server.delete({ kind: 'Pod', namespace: 'shop', name: 'till-1' })
    assert.match(await refusal(token), /the token is not accepted: .*Pod till-1 is gone/)
  })

  it('refuses a token without our audience', async () => {
    const { uid = '' } = pod().metadata
    const token = server.tokens.issue({ namespace: 'shop', serviceAccount: 'till', pod: { name: 'till-1', uid } })
    assert.match(await refusal(token), /the token is not accepted/)
  })

  it('refuses a token that is not bound to a pod', async () => {
    const token = server.tokens.issue({ namespace: 'shop', serviceAccount: 'till', audiences: [install.tokenAudience] })
    assert.match(await refusal(token), /not bound to a pod: mount a projected/)
  })

  for (const [what, status, why] of [
    ['an API server that does not know about audiences', { ...good, audiences: undefined }, /not for the audience waymark.dev\/ca/],
    ['other audiences in the answer', { ...good, audiences: ['other'] }, /not for the audience/],
    ['audiences that are no list', { ...good, audiences: install.tokenAudience }, /not for the audience/],
    ['an answer that only looks like yes', { ...good, authenticated: 'true' }, /not accepted/],
    ['no answer at all', undefined, /not accepted/],
    ['a person', { ...good, user: { ...good.user, username: 'admin' } }, /not that of a service account/],
    ['a node', { ...good, user: { ...good.user, username: 'system:node:shop:till' } }, /not that of a service account/],
    ['a name with more parts', { ...good, user: { ...good.user, username: 'system:serviceaccount:shop:till:x' } }, /not that of a service account/],
    ['a name that would reach out of its place', { ...good, user: { ...good.user, username: 'system:serviceaccount:shop/sa/x:till' } }, /not that of a service account/],
    ['two pods', { ...good, user: { username: good.user.username, ...extra(['till-1', 'x'], ['u1']) } }, /not bound to a pod/],
    ['a pod without a uid', { ...good, user: { username: good.user.username, ...extra(['till-1'], []) } }, /not bound to a pod/],
  ] as const) {
    it(`refuses ${what}`, async () => {
      answer = () => status as unknown as TokenReviewStatus
      assert.match(await refusal('token'), why)
    })
  }

  it('asks for our audience, and for nothing that is too large to be a token', async () => {
    const asked: TokenReviewSpec[] = []
    answer = (spec) => {
      asked.push(spec)
      return good
    }
    assert.match(await refusal('x'.repeat(16 * 1024 + 1)), /1 to 16384 bytes/)
    assert.match(await refusal(''), /1 to 16384 bytes/)
    await reviewer()('token')
    assert.deepEqual(asked, [{ token: 'token', audiences: [install.tokenAudience] }])
  })

  for (const [what, fault, why] of [
    ['may not be asked', { status: 403 }, /could not be reviewed.*may create tokenreviews/],
    ['is broken', { status: 500 }, /could not be reviewed/],
    ['breaks the connection off', { instead: 'reset' }, /could not be reviewed/],
    ['does not answer', { instead: 'hang' }, /no answer within 100 ms/],
  ] as const) {
    it(`fails, which is no refusal, if the API server ${what}, and never says the token`, async () => {
      server.fault(fault)
      await assert.rejects(reviewer({ timeoutMs: 'instead' in fault ? 100 : 8_000 })('secret-token'), (error: Error) => {
        assert.match(error.message, why)
        assert.ok(!error.message.includes('secret-token'))
        return true
      })
      server.clearFaults()
    })
  }

  it('reads its own token anew when that is too old', async () => {
    answer = () => good
    server.fault({ status: 401, times: 1 })
    assert.deepEqual(await reviewer()('token'), { identity: till, pod: { name: 'till-1', uid: 'u1' } })
  })
})
