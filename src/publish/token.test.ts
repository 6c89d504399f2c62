import assert from 'node:assert/strict'
import { claimsOfToken, identityOfToken } from './token.ts'

const token = (claims: unknown): string => ['{}', JSON.stringify(claims), 'signature'].map((part) => Buffer.from(part).toString('base64url')).join('.')

describe("a pod's own token", () => {
  it('says who the pod is', () => {
    const own = token({ 'sub': 'system:serviceaccount:shop:till', 'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'till', uid: 'u' }, pod: { name: 'till-1', uid: 'p' } } })
    assert.deepEqual(claimsOfToken(`${own}\n`, 'mesh.example'), { identity: { trustDomain: 'mesh.example', namespace: 'shop', serviceAccount: 'till' }, pod: 'till-1' })
  })

  for (const [what, text] of [
    ['no token', 'hello'], ['nothing', ''], ['no JSON', 'a.b.c'], ['claims of somebody else', token({ sub: 'me' })], ['claims that are no object', token(null)],
    ['a name that is none', token({ 'kubernetes.io': { namespace: 'shop/sa/x', serviceaccount: { name: 'till' } } })],
    ['a name of another type', token({ 'kubernetes.io': { namespace: 1, serviceaccount: 'till' } })],
  ] as const) {
    it(`is not ${what}`, () => {
      assert.throws(() => identityOfToken(text, 'mesh.example'), /not a projected token of a service account/)
    })
  }
})
