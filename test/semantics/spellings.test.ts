import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { systemClock } from '../../src/kit/clock.ts'
import type { Identity } from '../../src/model/identity.ts'
import { keepCredentials, type CredentialKeeper } from '../../src/transport/credentials.ts'
import { HboneError } from '../../src/transport/errors.ts'
import { createHboneClient } from '../../src/transport/hbone-client.ts'
import { backend, type Backend } from './testing/backend.ts'
import { l7Namespace, policy, route, service, target, to } from './testing/manifests.ts'
import { startMesh, type Mesh } from './testing/mesh.ts'

/**
 * Ways to ask for /admin, or for what some server takes for it, and what a Deny of /admin makes of each: 403, or 400 if the target has no
 * one meaning. 200: it is something else, in every reading.
 */
const admin: Readonly<Record<string, 200 | 400 | 403>> = {
  '/admin': 403, '/admin/': 403, '/admin/x': 403, '/admin?x=y': 403, '/admin/?': 403, '//admin': 403, '///admin': 403, '/admin//': 403, '/./admin': 403, '/admin/.': 403, '/x/../admin': 403,
  '/x/./../admin/y': 403, '/x//../admin': 403, '/admin/../admin': 403, '/%61dmin': 403, '/%61%64%6D%69%6E': 403, '/%61%64%6d%69%6e': 403, '/adm%69n': 403, '/admin%2F': 400, '/admin%2fx': 400, '/%2fadmin': 400,
  '/%2Fadmin': 400, '/x%2f..%2fadmin': 400, '/%2e/admin': 403, '/%2E/admin': 403, '/x/%2e%2e/admin': 403, '/x/%2E%2e/admin': 403, '/x/.%2e/admin': 403, '/x/%2e./admin': 403, '/%252fadmin': 403,
  '/%252e/admin': 403, '/x/%252e%252e/admin': 403, '/%2561dmin': 403, '/%25%36%31dmin': 403, '/%252561dmin': 403, '/x%252f%252e%252e%252fadmin': 403, '/x%255c..%255cadmin': 403, '/admin;': 403, '/admin;a=b': 403,
  '/admin;a=b/x': 403, '/;a=b/admin': 403, '/x;/../admin': 403, '/admin%3B': 403, '/admin%3ba=b': 403, '/admin%253Ba': 403, '/.;/admin': 400, '/..;/admin': 400, '/x/..;/admin': 400, '/x/..;a=b/admin': 400,
  '/x/%2e%2e;/admin': 400, '/x/..%3b/admin': 403, '/x/..%253b/admin': 403, '/admin%00': 400, '/admin%00.png': 400, '/%00/admin': 400, '/admin%2500': 403, '/admin%2500.png': 403, '/admin\0': 400, '/admin%0a': 400,
  '/admin%0d%0a': 400, '/admin%09': 400, '/admin%20': 403, '/admin%7f': 400, '/admin\t': 400, '/admin\x0b': 400, '\\admin': 400, '/\\admin': 400, '/x\\..\\admin': 400, '/admin\\x': 400, '/%5cadmin': 400, '/%5Cadmin': 400,
  '/x/..%5cadmin': 400, '/admin%c0%af': 400, '/%c0%af/admin': 400, '/%c0%ae%c0%ae/admin': 400, '/%e0%80%af/admin': 400, '/%f0%80%80%af/admin': 400, '/%ff/admin': 400, '/admin%': 400, '/admin%2': 400, '/admin%zz': 400,
  '/%u0061dmin': 400, '/ADMIN': 403, '/Admin/x': 403, '/aDmIn': 403, '/%41dmin': 403, '/%2541DMIN': 403, '/admin#': 400, '/x#/admin': 400, '/admin#x': 400, '/../admin': 400, '/x/../../admin': 400, '/%2e%2e/admin': 400,
  'http://any.test/admin': 403, 'http://any.test//admin': 403, 'http://any.test/x/../admin': 403, 'HTTP://any.test/admin': 403, 'http://any.test/admin#': 400, 'https://any.test/admin': 400, 'admin': 400, './admin': 400, '?/admin': 400,
  '/admin.': 403, '/admin./x': 403, '/admin%2e': 403, '/administrator': 200, '/admin.html': 200, '/x/admin': 200, '/adm': 200, '/x?/admin': 200, '/x;/admin': 200, '/%20admin': 200,
}

/** Ways out of /public, and what an Allow of /public makes of each. */
const publicly: Readonly<Record<string, 200 | 400 | 403>> = {
  '/public': 200, '/public/': 200, '/public/a': 200, '/public/a%20b': 200, '/public//a': 200, '/public/x/../a': 200, '/x/../public': 200, '/public?../admin': 200, '/%70ublic': 200, '/public/a;b=c': 200,
  '/': 403, '/admin': 403, '/publicly': 403, '/PUBLIC': 403, '/public/../admin': 403, '/public/%2e%2e/admin': 403, '/public/.%2E/admin': 403, '/public//../admin': 403, '/public/./../admin': 403, '/public/..': 403,
  '/public;/../admin': 403, '/public;a=b': 403, '/public%3B/x': 403, '/public/%252e%252e/admin': 403, '/public/%252e%252e%252fadmin': 403, '/public/%25252e%25252e/admin': 403, '/public/..%252fadmin': 403,
  '/public/..%255cadmin': 403, '/public/..;/admin': 400, '/public/%2e%2e;/admin': 400, '/public/..%3b/admin': 403, '/public/..%2fadmin': 400, '/public/..%5cadmin': 400, '/public\\..\\admin': 400, '/public/..\\admin': 400,
  '/public/%00/../admin': 400, '/public%2500/../../admin': 400, '/public%00': 400, '/public/%c0%ae%c0%ae/admin': 400, '/public/%c0%2e/admin': 400, '/public#/admin': 400, 'http://any.test/public/../admin': 403,
  'http://any.test/public': 200, '*': 400,
}

/** The furthest that any server goes in reading a target: case, parameters, escapes of escapes, backslashes, dots. */
function furthest(url: string): string {
  let path = url.split(/[?#]/)[0] ?? ''
  for (let round = 0; round < 9; round++) path = path.replaceAll(/%([0-9a-f]{2})/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  const segments: string[] = []
  for (const segment of (path.split('\0')[0] ?? '').replaceAll('\\', '/').toLowerCase().split('/').map((each) => each.split(';')[0] ?? '')) {
    if (segment === '..') segments.pop()
    else if (segment !== '' && segment !== '.') segments.push(segment)
  }
  return `/${segments.join('/')}`
}

const within = (url: string, prefix: string): boolean => furthest(url) === prefix || furthest(url).startsWith(`${prefix}/`)

describe('what policies see is what is forwarded', function () {
  this.timeout(60_000)
  let app: Backend
  let mesh: Mesh
  const keepers: CredentialKeeper[] = []
  const ask = async (name: string, line: string, headers: string): Promise<number> => {
    app.seen.length = 0
    const { status, answers } = await mesh.raw('shop', `${name}.books:80`, `${line} HTTP/1.1\r\n${headers}connection: close\r\n\r\n`)
    assert.ok(answers <= 1, line)
    return status
  }

  before(async () => {
    app = await backend('app')
    const rule = (to_: object): object => ({ rules: [{ to: [to_] }] })
    const guard = (name: string, spec: object): object[] => [...service(`books/${name}`, [app]), policy(`books/${name}`, { targetRefs: [target(name)], ...spec })]
    const role = { name: 'X-Role', value: 'admin' }
    mesh = await startMesh(
      ['shop'], ...l7Namespace('books'), ...l7Namespace('shop'), ...l7Namespace('evil'),
      ...([
        ...guard('no-admin', { action: 'Deny', ...rule({ paths: [{ value: '/admin' }] }) }), ...guard('only-public', rule({ paths: [{ value: '/public' }] })),
        ...guard('no-host', { action: 'Deny', ...rule({ hosts: ['admin.test'] }) }), ...guard('only-host', rule({ hosts: ['good.test'] })),
        ...guard('no-method', { action: 'Deny', ...rule({ methods: ['PUT'] }) }), ...guard('only-method', rule({ methods: ['GET'] })),
        ...guard('no-role', { action: 'Deny', ...rule({ headers: [role] }) }), ...guard('only-role', rule({ headers: [role] })),
        ...guard('shop', { rules: [{ from: [{ serviceAccounts: ['shop/app'] }] }] }),
      ] as Record<string, unknown>[]),
      route('HTTPRoute', 'shop/shop', 'books/shop', [{ backendRefs: [to('books/shop')] }]),
    )
  })
  after(async () => {
    for (const keeper of keepers) keeper.close()
    await mesh.close()
    app.close()
  })

  it('no spelling of a path gets past a Deny', async () => {
    assert.ok(Object.keys(admin).length >= 100)
    for (const [spelling, expected] of Object.entries(admin)) {
      assert.equal(await ask('no-admin', `GET ${spelling}`, 'host: any.test\r\n'), expected, JSON.stringify(spelling))
      assert.equal(app.seen.length, expected === 200 ? 1 : 0, spelling)
      for (const { url } of app.seen) assert.ok(!within(url, '/admin'), `${spelling} was forwarded as ${url}`)
    }
  })

  it('no spelling of a path gets beyond an Allow', async () => {
    for (const [spelling, expected] of Object.entries(publicly)) {
      assert.equal(await ask('only-public', `${spelling === '*' ? 'OPTIONS' : 'GET'} ${spelling}`, 'host: any.test\r\n'), expected === 400 && spelling === '*' ? 403 : expected, JSON.stringify(spelling))
      assert.equal(app.seen.length, expected === 200 ? 1 : 0, spelling)
      for (const { url } of app.seen) assert.ok(within(url, '/public'), `${spelling} was forwarded as ${url}`)
    }
  })

  it('no spelling of a path does in HTTP/2 either', async () => {
    const socket = await mesh.tunnel('shop', 'no-admin.books:80')
    const session = connectHttp2('http://any.test', { createConnection: () => socket })
    session.on('error', () => {})
    app.seen.length = 0
    for (const [spelling, expected] of Object.entries(admin)) {
      // Node's client refuses to send the others.
      if (!/^\/[!-"$-~]*$/.test(spelling)) continue
      const stream = session.request({ ':path': spelling, ':authority': 'any.test' })
      const [headers] = (await once(stream, 'response')) as [Record<string, number>]
      stream.resume()
      assert.equal(headers[':status'], expected, spelling)
    }
    for (const { url } of app.seen) assert.ok(!within(url, '/admin'), url)
    assert.equal(app.seen.length, Object.values(admin).filter((expected) => expected === 200).length)
    session.destroy()
  })

  it('no spelling of a host gets past a Deny, or beyond an Allow', async () => {
    const denied = ['admin.test', 'ADMIN.test', 'admin.test:80', 'admin.test:443', 'admin.test.', 'Admin.Test.:8080', 'admin.test..']
    for (const host of denied) assert.equal(await ask('no-host', 'GET /', `host: ${host}\r\n`), 403, host)
    for (const host of ['admin.test/x', 'x@admin.test', 'admin.test#', 'admin%2etest', 'admin.test:x', ' ', 'a b', 'admin.test,good.test']) assert.equal(await ask('no-host', 'GET /', `host: ${host}\r\n`), 400, host)
    assert.equal(await ask('no-host', 'GET /', 'host: good.test\r\nhost: admin.test\r\n'), 400)
    assert.equal(await ask('no-host', 'GET http://admin.test/', 'host: good.test\r\n'), 403)
    assert.equal(await ask('no-host', 'GET http://x@admin.test/', 'host: good.test\r\n'), 400)
    assert.equal(await ask('no-host', 'GET /', 'host: good.test\r\nx-forwarded-host: admin.test\r\n'), 200)
    for (const host of ['good.test', 'GOOD.test:80', 'good.test.']) assert.equal(await ask('only-host', 'GET /', `host: ${host}\r\n`), 200, host)
    for (const host of ['good.test.evil', 'xgood.test', 'a.good.test', 'admin.test']) assert.equal(await ask('only-host', 'GET /', `host: ${host}\r\n`), 403, host)
    assert.equal(await ask('only-host', 'GET http://admin.test/', 'host: good.test\r\n'), 403)
  })

  it('no spelling of a method gets past a Deny, or beyond an Allow', async () => {
    for (const method of ['PUT', 'put', 'Put']) assert.equal(await ask('no-method', `${method} /`, 'host: x\r\ncontent-length: 0\r\n'), 403, method)
    for (const method of ['PUT\t', 'PU\0T', ' PUT', '"PUT"']) assert.equal(await ask('no-method', `${method} /`, 'host: x\r\n'), 400, method)
    for (const method of ['get', 'Get', 'HEAD', 'GETX', 'POST']) assert.equal(await ask('only-method', `${method} /`, 'host: x\r\n'), 403, method)
    assert.equal(await ask('only-method', 'GET /', 'host: x\r\nx-http-method-override: PUT\r\n'), 200)
  })

  it('no repetition and no spelling of a header gets past a Deny, or beyond an Allow', async () => {
    const denied = ['x-role: admin', 'X-ROLE:admin', 'x-role:   admin  ', 'x-role: user\r\nx-role: admin', 'x-role: admin\r\nx-role: user', 'x-role: user, admin', 'x-role: user,admin', 'x_role: admin', 'x-role: user\r\nx_role: admin']
    for (const header of denied) assert.equal(await ask('no-role', 'GET /', `host: x\r\n${header}\r\n`), 403, header)
    for (const header of ['x-role : admin', 'x-role: us\r er', ' x-role: admin', 'x-role: user\r\n admin']) assert.equal(await ask('no-role', 'GET /', `host: x\r\n${header}\r\n`), 400, header)
    assert.equal(await ask('only-role', 'GET /', 'host: x\r\nx-role: admin\r\n'), 200)
    for (const header of ['x-role: user', 'x-role: user\r\nx-role: admin', 'x-role: admin\r\nx-role: user', 'x-role: admin, user', 'x-role: admin\r\nx_role: user', 'x-role: Admin', 'x-roles: admin']) {
      assert.equal(await ask('only-role', 'GET /', `host: x\r\n${header}\r\n`), 403, header)
    }
    // What `Connection` names is not forwarded, and so is not there to be judged.
    assert.equal(await ask('only-role', 'GET /', 'host: x\r\nx-role: admin\r\nconnection: x-role\r\n'), 403)
  })

  it('no claim of an identity is believed', async () => {
    const id = (namespace: string, name: string): string => `spiffe://cluster.local/ns/${namespace}/sa/${name}`
    const waypoint = mesh.world.mesh.waypoints().find(({ key }) => key === 'books/waypoint')!.address
    const open = async (namespace: string, serviceAccount: string, headers: Readonly<Record<string, string>>): Promise<string> => {
      const identity: Identity = { trustDomain: 'cluster.local', namespace, serviceAccount }
      const keeper = await keepCredentials({ identity, clock: systemClock, fetch: (key) => mesh.world.mesh.ca.issue(identity, key), onError: () => {} })
      keepers.push(keeper)
      const client = createHboneClient({ credentials: keeper, clock: systemClock })
      try {
        const stream = await client.connect({ ...waypoint, authority: 'shop.books.svc.cluster.local:80', peer: { kind: 'identity', id: id('books', 'waypoint') }, headers })
        stream.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
        let text = ''
        for await (const chunk of stream) text += (chunk as Buffer).toString()
        return text.split(' ')[1] ?? ''
      } catch (error) {
        return error instanceof HboneError ? `refused ${error.reason ?? ''}` : String(error)
      } finally {
        client.close()
      }
    }
    const client = 'x-waypoint-client'
    const routes = 'x-waypoint-routes'
    assert.equal(await open('shop', 'app', {}), '200')
    assert.equal(await open('shop', 'other', {}), '403')
    assert.equal(await open('shop', 'waypoint', { [client]: id('shop', 'app'), [routes]: 'off' }), '200')
    assert.equal(await open('shop', 'waypoint', { [client]: id('shop', 'app') }), '200')
    assert.equal(await open('shop', 'waypoint', { [client]: id('shop', 'other'), [routes]: 'off' }), '403')
    for (const [namespace, name, headers] of [
      ['shop', 'other', { [client]: id('shop', 'app') }], ['shop', 'other', { [client]: id('shop', 'app'), [routes]: 'off' }], ['shop', 'app', { [routes]: 'off' }],
      ['evil', 'waypoint', { [client]: id('shop', 'app'), [routes]: 'off' }], ['evil', 'app', { [client]: id('shop', 'app') }], ['nowhere', 'waypoint', { [client]: id('nowhere', 'app') }],
      ['books', 'waypoint', { [client]: id('shop', 'app') }], ['shop', 'waypoint', { [routes]: 'off' }], ['shop', 'waypoint', { [client]: 'spiffe://other.test/ns/shop/sa/app' }],
    ] as const) assert.equal(await open(namespace, name, headers), 'refused denied', `${namespace}/${name} ${JSON.stringify(headers)}`)
    for (const header of ['x-forwarded-client-cert', 'x_forwarded_client_cert', 'x-waypoint-client', 'forwarded', 'baggage']) {
      const reply = await mesh.call('shop', 'shop.books:80', { headers: { [header]: `By=x;URI=${id('books', 'root')}` } })
      assert.equal(reply.status, 200)
      assert.match(reply.seen.headers['x-forwarded-client-cert']?.join() ?? '', /^By=[^,]*;URI=spiffe:\/\/cluster\.local\/ns\/shop\/sa\/app$/, header)
    }
  })
})
