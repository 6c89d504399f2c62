import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { entryKey, type Entry } from '../../src/model/entries.ts'
import type { PolicyEntry, PolicyRule } from '../../src/model/policy.ts'
import type { RouteRules } from '../../src/model/route.ts'
import { endpoints, routes, service, to } from './testing/entries.ts'
import { endpoint, startRig, type Rig } from './testing/rig.ts'

describe('a connection that is not read', () => {
  let rig: Rig
  let port: number
  beforeEach(async () => {
    rig = await startRig()
    const server = createServer((socket) => socket.on('error', () => {}).pipe(socket))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    rig.onClose(() => server.close())
    port = (server.address() as AddressInfo).port
  })
  afterEach(() => rig.close())

  const policy = (name: string, action: PolicyEntry['action'], rule: PolicyRule): PolicyEntry => ({ kind: 'policy', namespace: 'books', name, action, rules: [rule] })
  const guarded = (name: string, ip: string, policies: readonly PolicyEntry[]): readonly Entry[] => [
    { ...service('books', name, ip, 'tcp'), ...(policies.length === 0 ? {} : { guard: { policies: policies.map(entryKey) } }) }, endpoints('books', name, endpoint(port)), ...policies,
  ]
  const allowShop = policy('shop', 'allow', { from: [{ namespaces: ['shop'] }] })
  const denyShop = policy('no-shop', 'deny', { from: [{ namespaces: ['shop'] }] })

  /** A tunnel through which something has been said already. */
  const opened = async (from: string): Promise<Duplex> => {
    const tunnel = await rig.open(from)
    tunnel.on('error', () => {})
    await says(tunnel, 'a')
    return tunnel
  }
  const says = async (tunnel: Duplex, text: string): Promise<void> => {
    tunnel.write(text)
    const [answer] = (await once(tunnel, 'data')) as [Buffer]
    assert.equal(String(answer), text)
  }
  const cut = (tunnel: Duplex): Promise<void> => new Promise((resolve) => {
    if (tunnel.closed) resolve()
    else tunnel.once('close', resolve)
  })

  const recorded = async (count: number): Promise<void> => {
    while (rig.records.length < count) await new Promise((resolve) => setImmediate(resolve))
  }

  it('is cut when policies no longer allow it; what they still allow goes on', async () => {
    rig.configure(guarded('reviews', '10.0.0.1', []))
    const [shop, books] = [await opened('shop'), await opened('books')]
    rig.configure(guarded('reviews', '10.0.0.1', [allowShop]))
    await cut(books)
    await says(shop, 'b')
    await recorded(1)
    assert.deepEqual([rig.records[0]?.reason, rig.records[0]?.detail], ['denied', 'no Allow policy matches'])
    rig.configure(guarded('reviews', '10.0.0.1', [allowShop, denyShop]))
    await cut(shop)
  })

  it('is cut when it has been sent on to another Service that denies it then', async () => {
    const id = { routeKind: 'TCPRoute', namespace: 'books', name: 'r', rule: 0 } as const
    const rules: RouteRules = { protocol: 'tcp', rules: [{ kind: 'tcp', id, backends: [to('books', 'ratings')] }] }
    const all = (policies: readonly PolicyEntry[]): void => {
      const [reviews, ...rest] = guarded('reviews', '10.0.0.1', [])
      assert.ok(reviews?.kind === 'service')
      rig.configure([reviews, ...rest, ...guarded('ratings', '10.0.0.2', policies), routes('producer', 'books', reviews, rules)])
    }
    all([])
    const shop = await opened('shop')
    all([denyShop])
    await cut(shop)
  })

  it('goes on when its Service is gone, and when nothing about it changes', async () => {
    rig.configure(guarded('reviews', '10.0.0.1', [allowShop]))
    const shop = await opened('shop')
    rig.configure(guarded('reviews', '10.0.0.1', [allowShop]))
    await says(shop, 'b')
    rig.configure([])
    await says(shop, 'c')
    shop.destroy()
  })
})
