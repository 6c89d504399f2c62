import assert from 'node:assert/strict'
import { decide, decideCaptured, indexDestinations, resolveHost } from './destination.ts'
import { entryKey, type Entry } from './entries.ts'

const identity = (namespace: string) => ({ trustDomain: 'cluster.local', namespace, serviceAccount: 'app' })
const service = (namespace: string, name: string, waypoint?: string): Entry => ({
  kind: 'service', namespace, name, clusterIPs: [`10.0.0.${namespace.length}`, `fd00::${namespace.length}`], headless: false,
  ports: [{ port: 80, protocol: 'http' }], ...(waypoint === undefined ? {} : { waypoint }),
})
const waypoint = (namespace: string, port: number): Entry => ({
  kind: 'waypoint', namespace, name: 'waypoint', identity: `spiffe://cluster.local/ns/${namespace}/sa/waypoint`,
  addresses: port === 0 ? [] : [{ host: '127.0.0.1', port }],
})
const index = (...entries: Entry[]) => indexDestinations(new Map(entries.map((entry) => [entryKey(entry), entry])))

describe('resolveHost', () => {
  const full = 'reviews.books.svc.cluster.local'
  for (const [host, expected] of [
    ['reviews', full], ['reviews.books', full], ['reviews.books.svc', full], [full, full], [`${full}.`, full], ['REVIEWS.Books', full],
    ['10.0.0.1', '10.0.0.1'], ['[fd00::1]', 'fd00::1'], ['www.example.com', 'www.example.com'],
  ] as const) {
    it(`reads ${host} as ${expected}`, () => assert.equal(resolveHost(host, 'books'), expected))
  }
})

describe('decide', () => {
  const consumerTable: Entry = {
    kind: 'routes', level: 'consumer', namespace: 'shop', service: { namespace: 'books', name: 'reviews' }, port: 80, routes: { protocol: 'http', rules: [] },
  }
  const mesh = index(service('books', 'reviews', 'waypoint/books/waypoint'), service('flat', 'echo'), waypoint('books', 1), waypoint('shop', 2), consumerTable)

  it("sends a caller with consumer routes to its own waypoint", () => {
    const decision = decide(mesh, identity('shop'), 'reviews.books', 80)
    assert.ok(decision.kind === 'waypoint')
    assert.equal(decision.level, 'consumer')
    assert.equal(decision.waypoint.namespace, 'shop')
    assert.equal(decision.authority, '10.0.0.5:80')
  })

  it("sends every other caller to the Service's waypoint", () => {
    for (const namespace of ['books', 'other']) {
      const decision = decide(mesh, identity(namespace), '10.0.0.5', 80)
      assert.ok(decision.kind === 'waypoint')
      assert.equal(decision.level, 'producer')
      assert.equal(decision.waypoint.namespace, 'books')
    }
  })

  it('keeps the address family that the caller used', () => {
    const decision = decide(mesh, identity('other'), '[fd00::5]', 80)
    assert.equal(decision.kind === 'waypoint' && decision.authority, '[fd00::5]:80')
  })

  it('goes straight to the endpoints of a Service without a waypoint', () => {
    assert.equal(decide(mesh, identity('shop'), 'echo.flat', 80).kind, 'endpoints')
  })

  it('takes endpoints of the family that the caller used, by name the Service\'s first, and others only if there are none', () => {
    const endpoints = (...addresses: string[]): Entry => ({
      kind: 'endpoints', namespace: 'flat', name: 'echo', ports: [{ port: 80, endpoints: addresses.map((address) => ({ address, port: 8080, condition: 'ready', transport: { kind: 'plain' } })) }],
    })
    const [dual, six] = [index(service('flat', 'echo'), endpoints('10.1.0.1', 'fd01::1')), index(service('flat', 'echo'), endpoints('fd01::1'))]
    const found = (from: typeof dual, host: string): readonly string[] => {
      const decision = decide(from, identity('flat'), host, 80)
      return decision.kind === 'endpoints' ? decision.endpoints.map(({ address }) => address) : []
    }
    assert.deepEqual(['10.0.0.4', 'fd00::4', 'echo'].map((host) => found(dual, host)), [['10.1.0.1'], ['fd01::1'], ['10.1.0.1']])
    assert.deepEqual(found(six, '10.0.0.4'), ['fd01::1'])
  })

  it('refuses unknown names, and unknown ports by naming the ports there are', () => {
    const name = decide(mesh, identity('shop'), 'nobody.books', 80)
    assert.equal(name.kind === 'refused' && name.reason, 'unknown-destination')
    assert.equal(name.kind === 'refused' && name.detail, 'nobody.books is not a Service or a pod of this mesh')
    const short = decide(mesh, identity('shop'), 'reviews', 80)
    assert.equal(short.kind === 'refused' && short.detail, 'namespace shop has no Service reviews')
    const port = decide(mesh, identity('shop'), 'reviews.books', 81)
    assert.match(port.kind === 'refused' ? port.detail : '', /has no port 81; it has 80/)
  })

  it('fails closed while the waypoint that must judge has no address', () => {
    const gone = index(service('books', 'reviews', 'waypoint/books/waypoint'), waypoint('books', 0))
    const decision = decide(gone, identity('shop'), 'reviews.books', 80)
    assert.equal(decision.kind === 'refused' && decision.reason, 'no-waypoint')
  })

  it('takes a pod address straight to the pod', () => {
    const pods = index({ kind: 'workload', namespace: 'books', name: 'reviews-1', addresses: ['10.1.0.7'], serviceAccount: 'reviews', identity: 'spiffe://cluster.local/ns/books/sa/reviews', enrolled: true })
    assert.equal(decide(pods, identity('shop'), '10.1.0.7', 9080).kind, 'workload')
  })

  it('refuses what policies guard that nothing enforces', () => {
    const closed = index({ ...service('flat', 'echo'), closed: 'nobody enforces policies' } as Entry)
    const toService = decide(closed, identity('shop'), 'echo.flat', 80)
    assert.deepEqual(toService, { kind: 'refused', reason: 'denied', detail: 'nobody enforces policies' })
    const pod = { kind: 'workload', namespace: 'flat', name: 'echo-1', addresses: ['10.1.0.8'], serviceAccount: 'echo', identity: 'spiffe://cluster.local/ns/flat/sa/echo', enrolled: false } as const
    for (const [ports, port, kind] of [['all', 80, 'refused'], [[80], 80, 'refused'], [[80], 81, 'workload']] as const) {
      assert.equal(decide(index({ ...pod, closed: ports }), identity('shop'), '10.1.0.8', port).kind, kind)
    }
  })
})

describe('decideCaptured', () => {
  const mesh = index(service('books', 'reviews', 'waypoint/books/waypoint'), service('flat', 'echo'))
  const kindOf = (address: string, port: number, unknown: 'pass' | 'refuse'): string => {
    const decision = decideCaptured(mesh, identity('shop'), address, port, unknown)
    return decision.kind === 'refused' ? decision.reason : decision.kind
  }

  it('passes addresses that nothing in the mesh has, or refuses them, as the mesh is set', () => {
    assert.equal(kindOf('192.0.2.1', 443, 'pass'), 'outside')
    assert.equal(kindOf('192.0.2.1', 443, 'refuse'), 'unknown-destination')
  })

  it('never passes what a Service of the mesh has, whatever is missing', () => {
    assert.equal(kindOf('10.0.0.4', 81, 'pass'), 'unknown-destination')
    assert.equal(kindOf('10.0.0.5', 80, 'pass'), 'no-waypoint')
    assert.equal(kindOf('fd00::4', 80, 'pass'), 'endpoints')
  })
})
