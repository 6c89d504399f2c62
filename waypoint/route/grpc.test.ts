import assert from 'node:assert/strict'
import type { GrpcMatch, GrpcRule, StringMatch } from '../../src/model/route.ts'
import type { RequestHead } from '../compiled.ts'
import { compileGrpcTable } from './table.ts'

const rule = (name: string, ...matches: readonly GrpcMatch[]): GrpcRule => ({
  kind: 'grpc',
  id: { routeKind: 'GRPCRoute', namespace: 'shop', name, rule: 0 },
  matches,
  filters: [],
  backends: [],
})

const call = (path: string, ...headers: string[]): RequestHead => ({
  version: 'http2', method: 'POST', scheme: 'http', authority: 'cart', path, query: '', headers, caller: undefined, destinationPort: 80,
})

const exact = (value: string): StringMatch => ({ type: 'exact', value })
const regex = (value: string): StringMatch => ({ type: 'regex', value })
const winner = (rules: readonly GrpcRule[], head: RequestHead): string | undefined => compileGrpcTable(rules).find(head)?.rule.id.name

describe('compileGrpcTable', () => {
  const fitting: readonly (readonly [title: string, match: GrpcMatch, fits: readonly string[], not: readonly string[]])[] = [
    [
      'service and method are exact',
      { service: exact('shop.Cart'), method: exact('Add'), headers: [] },
      ['/shop.Cart/Add'],
      ['/shop.Cart/add', '/shop.Cart/AddAll', '/shop.cart/Add', '/shop.Cart/Add/', '/x/shop.Cart/Add'],
    ],
    [
      'a service alone takes all its methods',
      { service: exact('shop.Cart'), headers: [] },
      ['/shop.Cart/Add', '/shop.Cart/Remove'],
      ['/shop.Cart', '/shop.Cart/', '/shop.Cart/Add/x', '/shop.Carts/Add'],
    ],
    [
      'a method alone is taken of any service',
      { method: exact('Add'), headers: [] },
      ['/shop.Cart/Add', '/x/Add'],
      ['/Add', '/a/b/Add', '/x/Adds'],
    ],
    [
      'patterns match the whole service or method',
      { service: regex('shop\\..*'), method: regex('(?i)add|get'), headers: [] },
      ['/shop.Cart/ADD', '/shop.X/get'],
      ['/shops.Cart/Add', '/shop.Cart/AddAll'],
    ],
    ['neither service nor method takes every call', { headers: [] }, ['/shop.Cart/Add', '/', '/a', '/a/b/c'], []],
  ]
  for (const [title, match, fits, not] of fitting) {
    it(title, () => {
      for (const path of fits) assert.equal(winner([rule('r', match)], call(path)), 'r', path)
      for (const path of not) assert.equal(winner([rule('r', match)], call(path)), undefined, path)
    })
  }

  it('matches metadata as headers', () => {
    const rules = [rule('r', { headers: [{ type: 'exact', name: 'X-Tenant', value: 'a' }] })]
    assert.equal(winner(rules, call('/s/m', 'x-tenant', 'a')), 'r')
    assert.equal(winner(rules, call('/s/m', 'x-tenant', 'b')), undefined)
  })

  const header = { type: 'exact', name: 'x', value: '1' } as const
  const orders: readonly (readonly [title: string, better: GrpcMatch, worse: GrpcMatch])[] = [
    ['more characters in the service', { service: exact('shop.Cart'), headers: [] }, { method: exact('AddEverything'), headers: [header] }],
    [
      'more characters in the service, even of a pattern',
      { service: regex('shop[.]Cart'), headers: [] },
      { service: exact('shop.Cart'), method: exact('AddEverything'), headers: [header] },
    ],
    [
      'more characters in the method',
      { service: exact('shop.Cart'), method: exact('AddEverything'), headers: [] },
      { service: exact('shop.Cart'), headers: [header] },
    ],
    ['more headers', { service: exact('shop.Cart'), headers: [header] }, { service: exact('shop.Cart'), headers: [] }],
  ]
  for (const [title, better, worse] of orders) {
    it(`prefers ${title}, in whatever order the rules stand`, () => {
      const head = call('/shop.Cart/AddEverything', 'x', '1')
      assert.equal(winner([rule('better', better), rule('worse', worse)], head), 'better')
      assert.equal(winner([rule('worse', worse), rule('better', better)], head), 'better')
      assert.equal(winner([rule('worse', worse)], head), 'worse')
    })
  }

  it('explains in the words of gRPC', () => {
    const table = compileGrpcTable([
      rule('all', { headers: [] }),
      rule('cart', { service: exact('shop.Cart'), method: exact('Add'), headers: [] }),
    ])
    assert.deepEqual(
      table.explain(call('/shop.Cart/Get')).map(({ match, verdict, why }) => [match, verdict, why]),
      [
        ['service = "shop.Cart", method = "Add"', 'no match', 'wants method = "Add", the request has method = "Get"'],
        ['every call', 'won', 'the first in order of precedence that fits'],
      ],
    )
  })
})
