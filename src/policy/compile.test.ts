import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { PolicyEntry, PolicyOperation, PolicyRule, PolicySource } from '../model/policy.ts'
import type { Attributes } from './attributes.ts'
import { compilePolicies, needsRequests } from './compile.ts'
import { attributes, identity, policy } from './testing/policies.ts'

const judge = (policies: readonly PolicyEntry[], what: Attributes): boolean => compilePolicies(policies.map((entry) => ({ entry }))).judge(what).allowed
const from = (source: PolicySource): PolicyRule => ({ from: [source] })
const to = (operation: PolicyOperation): PolicyRule => ({ to: [operation] })
const plaintext = attributes({ caller: undefined })
const connection = attributes({ request: undefined })
const afterWaypoint = attributes({ request: undefined, judgedByWaypoint: true })

/** Whether a rule fits in an Allow policy, and whether it does in a Deny policy. */
const fits = (rule: PolicyRule, what: Attributes): { readonly allow: boolean; readonly deny: boolean } =>
  ({ allow: judge([policy('allow', 'a', rule)], what), deny: !judge([policy('deny', 'd', rule)], what) })
const both = { allow: true, deny: true }
const neither = { allow: false, deny: false }
/** What is in doubt counts against the caller. */
const doubt = { allow: false, deny: true }

describe('compilePolicies', () => {
  it('allows everything while there is no policy', () => {
    assert.deepEqual(compilePolicies([]).judge(attributes()), { allowed: true, policy: '', reason: '', audit: [] })
  })

  it('denies the rest as soon as there is an Allow policy, also one without rules', () => {
    assert.equal(judge([policy('allow', 'nobody')], attributes()), false)
    assert.equal(judge([policy('allow', 'nobody'), policy('allow', 'shop', from({ namespaces: ['shop'] }))], attributes()), true)
    assert.equal(judge([policy('allow', 'shop', from({ namespaces: ['shop'] }))], attributes({ caller: identity('other', 'x') })), false)
  })

  it('names the policy and the rule that decided', () => {
    const judged = compilePolicies([{ entry: policy('deny', 'no', from({ namespaces: ['x'] }), from({ namespaces: ['shop'] })) }]).judge(attributes())
    assert.deepEqual(judged, { allowed: false, policy: 'books/no', reason: 'rule 1 of policy/books/no matches', audit: [] })
  })

  it('takes a Deny before an Allow', () => {
    assert.equal(judge([policy('allow', 'all', {}), policy('deny', 'shop', from({ namespaces: ['shop'] }))], attributes()), false)
  })

  it('only tells of Audit policies that match, whatever becomes of the request', () => {
    const audit = policy('audit', 'watch', from({ namespaces: ['shop'] }))
    assert.deepEqual(compilePolicies([{ entry: audit }]).judge(attributes()), { allowed: true, policy: '', reason: '', audit: ['books/watch'] })
    const denied = compilePolicies([{ entry: audit }, { entry: policy('deny', 'all', {}) }]).judge(attributes())
    assert.equal(denied.allowed, false)
    assert.deepEqual(denied.audit, ['books/watch'])
    assert.deepEqual(compilePolicies([{ entry: audit }]).judge(plaintext).audit, [])
  })

  it('lets a partial Allow policy allow, but its absence of a match deny nobody', () => {
    const some = { entry: policy('allow', 'some', from({ namespaces: ['shop'] })), scope: 'partial' } as const
    const other = attributes({ caller: identity('other', 'x') })
    assert.equal(compilePolicies([some]).judge(other).allowed, true)
    assert.equal(compilePolicies([some, { entry: policy('allow', 'nobody') }]).judge(other).allowed, false)
    assert.equal(compilePolicies([some, { entry: policy('allow', 'nobody') }]).judge(attributes()).allowed, true)
  })

  it('takes a rule that can not be read for nobody in an Allow, for everybody in a Deny', () => {
    assert.deepEqual(fits({ broken: true }, attributes()), doubt)
  })

  it('lets a policy of routes count against callers where routes are not known, unless the waypoint judged', () => {
    const allowed = (action: 'allow' | 'deny', what: Attributes): boolean => compilePolicies([{ entry: policy(action, 'p', {}), scope: 'route' }]).judge(what).allowed
    assert.deepEqual([allowed('deny', connection), allowed('allow', connection)], [false, false])
    assert.deepEqual([allowed('deny', afterWaypoint), allowed('allow', afterWaypoint)], [true, true])
  })

  it('knows which policies need requests', () => {
    assert.equal(needsRequests(policy('allow', 'a', to({ ports: [80] }), from({ namespaces: ['x'] }))), false)
    assert.equal(needsRequests(policy('allow', 'a', {}, to({ ports: [80], notMethods: ['GET'] }))), true)
  })

  it('says what each policy found', () => {
    const found = compilePolicies([policy('allow', 'b', {}), policy('audit', 'c', {}), policy('deny', 'a', from({ namespaces: ['x'] }))].map((entry) => ({ entry })))
    assert.deepEqual(found.explain(attributes()), [
      { policy: 'books/a', action: 'deny', rule: undefined, decides: false },
      { policy: 'books/b', action: 'allow', rule: 0, decides: true },
      { policy: 'books/c', action: 'audit', rule: 0, decides: false },
    ])
  })
})

describe('sources', () => {
  const cases: readonly [string, PolicySource, Attributes, { allow: boolean; deny: boolean }][] = [
    ['a namespace', { namespaces: ['shop'] }, attributes(), both],
    ['another namespace', { namespaces: ['sho', 'shop2'] }, attributes(), neither],
    ['a namespace of a caller without identity', { namespaces: ['shop'] }, plaintext, neither],
    ['not a namespace', { notNamespaces: ['shop'] }, attributes(), neither],
    ['not another namespace', { notNamespaces: ['other'] }, attributes(), both],
    ['not a namespace, without identity', { notNamespaces: ['shop'] }, plaintext, doubt],
    ['a service account', { serviceAccounts: ['shop/till'] }, attributes(), both],
    ['a service account of another namespace', { serviceAccounts: ['books/till'] }, attributes(), neither],
    ['not a service account, without identity', { notServiceAccounts: ['shop/till'] }, plaintext, doubt],
    ['a SPIFFE id', { spiffeIds: ['spiffe://cluster.local/ns/shop/sa/till'] }, attributes(), both],
    ['any service account', { spiffeIds: ['spiffe://cluster.local/ns/shop/sa/*'] }, attributes(), both],
    ['a star that would have to hold a slash', { spiffeIds: ['spiffe://cluster.local/*/till'] }, attributes(), neither],
    ['every identity', { spiffeIds: ['*'] }, attributes(), both],
    ['every identity, without one', { spiffeIds: ['*'] }, plaintext, neither],
    ['no identity of these', { notSpiffeIds: ['*'] }, plaintext, doubt],
    ['two fields, both right', { namespaces: ['shop'], cidrs: ['10.0.0.0/8'] }, attributes(), both],
    ['two fields, one wrong', { namespaces: ['shop'], cidrs: ['11.0.0.0/8'] }, attributes(), neither],
    ['an address range', { cidrs: ['10.0.0.0/8'] }, attributes(), both],
    ['an address that is written as IPv6', { cidrs: ['10.1.2.3'] }, attributes({ address: '::ffff:10.1.2.3' }), both],
    ['a range that is written as IPv6', { cidrs: ['::ffff:10.0.0.0/104'] }, attributes(), both],
    ['an IPv6 range', { cidrs: ['fd00::/8'] }, attributes({ address: 'fd00::1' }), both],
    ['an address of another family', { cidrs: ['::/0'] }, attributes(), neither],
    ['not an address range', { notCidrs: ['10.0.0.0/8'] }, attributes(), neither],
    ['a range, address unknown', { cidrs: ['10.0.0.0/8'] }, attributes({ address: undefined }), doubt],
    ['not a range, address unknown', { notCidrs: ['10.0.0.0/8'] }, attributes({ address: undefined }), doubt],
  ]
  for (const [name, source, what, expected] of cases) it(name, () => assert.deepEqual(fits(from(source), what), expected))
})

describe('operations', () => {
  const request = (changes: Parameters<typeof attributes>[1]): Attributes => attributes({}, changes)
  const admin = (path: string): [PolicyOperation, Attributes] => [{ paths: [{ type: 'prefix', value: '/admin' }] }, request({ path })]
  const role = { name: 'x-role', type: 'exact', value: 'admin' } as const
  const cases: readonly [string, PolicyOperation, Attributes, { allow: boolean; deny: boolean }][] = [
    ['a port', { ports: [9080] }, attributes(), both],
    ['another port', { ports: [80] }, attributes(), neither],
    ['the pods\' own port', { ports: [8080] }, attributes({ ports: [80, 8080] }), both],
    ['not a port', { notPorts: [9080] }, attributes(), neither],
    ['a method', { methods: ['GET'] }, attributes(), both],
    ['a method in lower case', { methods: ['GET'] }, request({ method: 'get' }), doubt],
    ['not a method', { notMethods: ['GET'] }, request({ method: 'POST' }), both],
    ['not a method, in lower case', { notMethods: ['GET'] }, request({ method: 'get' }), doubt],
    ['a prefix', ...admin('/admin'), both],
    ['a path below a prefix', ...admin('/admin/x'), both],
    ['a path that only begins alike', ...admin('/administrator'), neither],
    ['parameters behind the prefix', ...admin('/admin;a=b/x'), doubt],
    ['parameters below the prefix', ...admin('/admin/x;a=b'), both],
    ['the prefix in capitals', ...admin('/ADMIN/x'), doubt],
    ['the prefix encoded twice', ...admin('/%2561dmin'), doubt],
    ['dots encoded twice that lead in', ...admin('/x/%252e%252e/admin'), doubt],
    ['dots encoded twice that lead out', ...admin('/admin/%252e%252e/x'), doubt],
    ['a slash encoded twice', ...admin('/x%252f..%252fadmin'), doubt],
    ['a NUL encoded twice', ...admin('/admin%2500.png'), doubt],
    ['a dot behind the prefix', ...admin('/admin./x'), doubt],
    ['a space behind the prefix', ...admin('/admin%20'), doubt],
    ['escapes that mean the same', { paths: [{ type: 'exact', value: '/caf%c3%a9' }] }, request({ path: '/caf%C3%A9' }), both],
    ['an exact path', { paths: [{ type: 'exact', value: '/a' }] }, request({ path: '/a' }), both],
    ['an exact path with a slash behind it', { paths: [{ type: 'exact', value: '/a' }] }, request({ path: '/a/' }), doubt],
    ['a pattern', { paths: [{ type: 'regex', value: '/a/[0-9]+' }] }, request({ path: '/a/12' }), both],
    ['a pattern takes whole paths', { paths: [{ type: 'regex', value: '/a' }] }, request({ path: '/a/b' }), neither],
    ['a pattern that fits only as it stands', { paths: [{ type: 'regex', value: '/a/[^/]+' }] }, request({ path: '/a/%252e%252e%252fb' }), doubt],
    ['not a path', { notPaths: [{ type: 'prefix', value: '/admin' }] }, request({ path: '/x' }), both],
    ['not a path, in capitals', { notPaths: [{ type: 'prefix', value: '/admin' }] }, request({ path: '/Admin' }), doubt],
    ['a host with its port', { hosts: ['reviews.books'] }, attributes(), both],
    ['a host with a dot at its end', { hosts: ['reviews.books'] }, request({ authority: 'reviews.books.:80' }), both],
    ['hosts below a domain', { hosts: ['*.books'] }, attributes(), both],
    ['the domain itself', { hosts: ['*.books'] }, request({ authority: 'books' }), neither],
    ['a host in brackets', { hosts: ['[fd00::1]'] }, request({ authority: '[fd00::1]:80' }), both],
    ['no host', { hosts: ['reviews.books'] }, request({ authority: '' }), doubt],
    ['a header', { headers: [role] }, request({ headers: ['x-role', 'admin'] }), both],
    ['a header that is not there', { headers: [role] }, attributes(), neither],
    ['a header with two lines', { headers: [role] }, request({ headers: ['x-role', 'admin', 'x-role', 'user'] }), doubt],
    ['a header with two values', { headers: [role] }, request({ headers: ['x-role', 'user, admin'] }), doubt],
    ['a header with an underscore', { headers: [role] }, request({ headers: ['x_role', 'admin', 'x-role', 'user'] }), doubt],
    ['two headers of which one is missing', { headers: [role, { ...role, name: 'x-more' }] }, request({ headers: ['x-role', 'admin'] }), neither],
    ['not a header', { notHeaders: [role] }, attributes(), both],
    ['not a header, with two lines', { notHeaders: [role] }, request({ headers: ['x-role', 'admin', 'x-role', 'user'] }), doubt],
    ['a call', { grpc: [{ service: 'a.B', method: 'C' }] }, request({ path: '/a.B/C', grpc: true }), both],
    ['a call of a service', { grpc: [{ service: 'a.B' }] }, request({ path: '/a.B/C', grpc: true }), both],
    ['a call of a method', { grpc: [{ method: 'C' }] }, request({ path: '/a.B/C', grpc: true }), both],
    ['a call of another service', { grpc: [{ service: 'a.X' }] }, request({ path: '/a.B/C', grpc: true }), neither],
    ['what does not say that it is a call', { grpc: [{ service: 'a.B', method: 'C' }] }, request({ path: '/a.B/C' }), doubt],
    ['paths of a connection', { paths: [{ type: 'prefix', value: '/' }] }, connection, doubt],
    ['not a method of a connection', { notMethods: ['GET'] }, connection, doubt],
    ['paths of a connection on another port', { ports: [1], paths: [{ type: 'prefix', value: '/' }] }, connection, neither],
    ['paths that the waypoint has judged', { paths: [{ type: 'prefix', value: '/' }] }, afterWaypoint, { allow: true, deny: false }],
  ]
  for (const [name, operation, what, expected] of cases) it(name, () => assert.deepEqual(fits(to(operation), what), expected))
})

describe('policies in any number', () => {
  const word = fc.constantFrom('a', 'b')
  const list = (each: fc.Arbitrary<string>): fc.Arbitrary<string[]> => fc.array(each, { minLength: 1, maxLength: 2 })
  const source = fc.record({ namespaces: list(word), notNamespaces: list(word), spiffeIds: list(fc.constantFrom('*', 'spiffe://cluster.local/ns/a/sa/*')), cidrs: list(fc.constantFrom('10.0.0.0/8', '::/0')) }, { requiredKeys: [] })
  const path = fc.record({ type: fc.constantFrom('exact' as const, 'prefix' as const, 'regex' as const), value: fc.constantFrom('/', '/a', '/a/b', '/.*') })
  const operation = fc.record({ ports: fc.constantFrom([80], [81]), methods: list(fc.constantFrom('GET', 'PUT')), paths: fc.array(path, { minLength: 1 }), notPaths: fc.array(path, { minLength: 1 }) }, { requiredKeys: [] })
  const rule = fc.record({ from: fc.array(source, { minLength: 1, maxLength: 2 }), to: fc.array(operation, { minLength: 1, maxLength: 2 }) }, { requiredKeys: [] })
  const entries = fc.uniqueArray(
    fc.record({ kind: fc.constant('policy' as const), namespace: fc.constant('n'), name: fc.constantFrom('1', '2', '3', '4'), action: fc.constantFrom('allow' as const, 'deny' as const, 'audit' as const), rules: fc.array(rule, { maxLength: 2 }) }),
    { selector: ({ name }) => name },
  )
  const request = fc.record({ method: fc.constantFrom('GET', 'put'), path: fc.constantFrom('/', '/a', '/A', '/a/b', '/a;x', '/%2561'), authority: fc.constant('h'), headers: fc.constant([]), grpc: fc.boolean() })
  const what: fc.Arbitrary<Attributes> = fc.record({
    caller: fc.option(fc.record({ trustDomain: fc.constant('cluster.local'), namespace: word, serviceAccount: word }), { nil: undefined }),
    address: fc.constantFrom(undefined, '10.1.1.1', 'fd00::1'), ports: fc.constantFrom([80], [81, 80]), request: fc.option(request, { nil: undefined }), judgedByWaypoint: fc.boolean(),
  })

  it('do not depend on their order', () => {
    fc.assert(fc.property(entries, what, (policies, one) => {
      const [forth, back] = [policies, [...policies].reverse()].map((each) => compilePolicies(each.map((entry) => ({ entry }))).judge(one))
      assert.deepEqual(forth, back)
    }))
  })

  it('never allow more because of another Deny or Audit, nor less because of another Allow beside one', () => {
    fc.assert(fc.property(entries, rule, what, (policies, extra, one) => {
      const before = judge(policies, one)
      if (!before) assert.equal(judge([...policies, policy('deny', 'extra', extra)], one), false)
      assert.equal(judge([...policies, policy('audit', 'extra', extra)], one), before)
      if (before && policies.some(({ action }) => action === 'allow')) assert.equal(judge([...policies, policy('allow', 'extra', extra)], one), true)
    }))
  })

  it('deny what a Deny policy matches, whatever else there is', () => {
    fc.assert(fc.property(entries, rule, what, (policies, extra, one) => {
      if (!judge([policy('deny', 'extra', extra)], one)) assert.equal(judge([...policies, policy('deny', 'extra', extra)], one), false)
    }))
  })

  it('never allow by a rule what the same rule would not deny, unless a waypoint judged it', () => {
    fc.assert(fc.property(rule, what, (one, attributesOf) => {
      const { allow, deny } = fits(one, { ...attributesOf, judgedByWaypoint: false })
      assert.ok(!allow || deny)
    }))
  })
})
