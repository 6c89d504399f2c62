import assert from 'node:assert/strict'
import type { TlsRule, WeightedBackend } from '../../src/model/route.ts'
import { compileConnectionTable } from './connections.ts'

const tls = (name: string, ...hostnames: readonly string[]): TlsRule => ({
  kind: 'tls',
  id: { routeKind: 'TLSRoute', namespace: 'shop', name, rule: 0 },
  hostnames,
  backends: [],
})

describe('compileConnectionTable', () => {
  const table = compileConnectionTable({
    protocol: 'tls',
    rules: [
      tls('wildcard', '*.example.com'),
      tls('deep wildcard', '*.eu.example.com'),
      tls('exact', 'a.eu.example.com', 'Example.ORG'),
      tls('newer exact', 'a.eu.example.com', 'b.example.com'),
    ],
  })
  const cases: readonly (readonly [serverName: string | undefined, rule: string | undefined])[] = [
    ['a.eu.example.com', 'exact'],
    ['example.org', 'exact'],
    ['b.example.com', 'newer exact'],
    ['c.example.com', 'wildcard'],
    ['c.us.example.com', 'wildcard'],
    ['c.eu.example.com', 'deep wildcard'],
    ['x.y.eu.example.com', 'deep wildcard'],
    ['eu.example.com', 'wildcard'],
    ['example.com', undefined],
    ['.example.com', undefined],
    ['badexample.com', undefined],
    ['example.com.evil.net', undefined],
    ['', undefined],
    [undefined, undefined],
    [`${'a.'.repeat(500)}example.com`, undefined],
  ]
  for (const [serverName, rule] of cases) {
    it(
      `SNI ${serverName?.slice(0, 30) ?? '(none)'} goes to ${rule ?? 'no rule'}`,
      () => assert.equal(table.find(serverName)?.id.name, rule),
    )
  }

  it('falls back to the oldest rule for every SNI', () => {
    const { find } = compileConnectionTable({ protocol: 'tls', rules: [tls('one', 'a.com'), tls('every'), tls('newer every')] })
    assert.equal(find('a.com')?.id.name, 'one')
    for (const name of ['b.com', '', undefined]) assert.equal(find(name)?.id.name, 'every')
  })

  it('serves every TCP connection by the first rule, weighted', () => {
    const backend = (name: string, weight: number): WeightedBackend => ({
      target: { kind: 'service', namespace: 'shop', name, port: 1 },
      weight,
      filters: [],
    })
    const id = { routeKind: 'TCPRoute', namespace: 'shop', name: 'r', rule: 0 } as const
    const rules = [{ kind: 'tcp', id, backends: [backend('a', 3), backend('b', 1)] }] as const
    const rule = compileConnectionTable({ protocol: 'tcp', rules }).find(undefined)
    const picks = Array.from({ length: 4 }, () => rule?.pickBackend()?.target).map((each) => each?.kind === 'service' && each.name)
    assert.deepEqual(picks, ['a', 'a', 'b', 'a'])
    assert.equal(compileConnectionTable({ protocol: 'tcp', rules: [] }).find(undefined), undefined)
  })
})
