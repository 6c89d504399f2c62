import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { TLSSocket } from 'node:tls'
import { KubeConfig, type Cluster, type User } from '@kubernetes/client-node'
import { authorityKeyIdentifier, bothTlsUsages, emptyName, endEntityConstraints, extension, keyUsage, makeCertificate } from '../../ca/certificate.ts'
import { implicit, sequence } from '../../ca/der.ts'
import { makeRoot, randomSerial } from '../../ca/root.ts'
import { createKubeClient, type KubeClient } from './client.ts'
import { KubeError } from './errors.ts'
import type { KubeObject } from './object.ts'

const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'shop', name: 'settings' }, data: { a: '1' }, notInTheSchema: { kept: [1] } } satisfies KubeObject
const ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'shop', name: 'settings' }

interface Seen {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

describe('createKubeClient', () => {
  let servers: Server[] = []
  let clients: KubeClient[] = []
  afterEach(async () => {
    for (const client of clients) client.close()
    for (const server of servers) {
      server.closeAllConnections()
      server.close()
    }
    await Promise.all(servers.filter((server) => server.listening).map((server) => once(server, 'close')))
    servers = []
    clients = []
  })

  const listen = async (server: Server): Promise<number> => {
    servers.push(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }
  const clientOf = (cluster: Omit<Cluster, 'name'>, user: (load: number) => Omit<User, 'name'> = () => ({})): KubeClient => {
    let loads = 0
    const client = createKubeClient(() => {
      const config = new KubeConfig()
      config.loadFromClusterAndUser({ name: 'c', ...cluster }, { name: 'u', ...user(++loads) })
      return config
    })
    clients.push(client)
    return client
  }
  /** A server that answers with `answer`, and the requests that it got. */
  const serve = async (answer: (seen: Seen, response: ServerResponse) => void, base = '') => {
    const seen: Seen[] = []
    const sockets = new Set<unknown>()
    const port = await listen(
      createServer((request, response) => {
        sockets.add(request.socket)
        const chunks: Buffer[] = []
        request.on('data', (chunk: Buffer) => chunks.push(chunk))
        request.on('end', () => {
          const one = { method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(chunks).toString() }
          seen.push(one)
          answer(one, response)
        })
      }),
    )
    const server = `http://127.0.0.1:${port}${base}`
    return { seen, sockets, server, client: clientOf({ server, skipTLSVerify: true }, (load) => ({ token: `token-${load}` })) }
  }
  const json = (value: unknown, status = 200, headers: Record<string, string> = {}) => (_: Seen, response: ServerResponse) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify(value))
  }
  const failure = (code: number, reason: string) => ({ kind: 'Status', status: 'Failure', code, reason, message: `because of ${reason}` })
  const errorOf = async (promise: Promise<unknown>): Promise<KubeError> => {
    const error = await promise.then(() => assert.fail('it should fail'), (thrown: unknown) => thrown)
    assert.ok(error instanceof KubeError, String(error))
    return error
  }

  describe('reads', () => {
    it('send path, query and token, and keep the connection', async () => {
      const { client, seen, sockets } = await serve(json({ items: [] }))
      assert.deepEqual(await client.get('/api/v1/pods', { limit: 500, watch: false, continue: undefined, labelSelector: 'a=b,c' }), { items: [] })
      await client.get('/version')
      assert.deepEqual(seen.map(({ method, url }) => `${method} ${url}`), ['GET /api/v1/pods?limit=500&watch=false&labelSelector=a%3Db%2Cc', 'GET /version'])
      assert.equal(seen[0]?.headers.authorization, 'Bearer token-1')
      assert.equal(seen[0].headers.accept, 'application/json')
      assert.equal(sockets.size, 1)
    })

    for (const base of ['/k8s/clusters/c1', '/k8s/clusters/c1/']) {
      it(`and writes work behind the path ${base}`, async () => {
        const { client, seen } = await serve(json(configMap), base)
        await client.get('/version')
        await client.create(configMap)
        assert.deepEqual(seen.map(({ url }) => url), ['/k8s/clusters/c1/version', '/k8s/clusters/c1/api/v1/namespaces/shop/configmaps'])
      })
    }

    it('of one object give undefined if it is not there, and throw for every other failure', async () => {
      const { client, seen } = await serve(({ url }, response) => {
        const status = url?.endsWith('gone') === true ? 404 : url?.endsWith('secret') === true ? 403 : 200
        json(status === 200 ? configMap : failure(status, 'R'), status)({} as Seen, response)
      })
      assert.deepEqual(await client.read(ref), configMap)
      assert.equal(await client.read({ ...ref, name: 'gone' }), undefined)
      assert.equal((await errorOf(client.read({ ...ref, name: 'secret' }))).status, 403)
      assert.equal(seen[0]?.url, '/api/v1/namespaces/shop/configmaps/settings')
    })

    it('tell status, reason, message and Retry-After of a refusal', async () => {
      const { client } = await serve(json(failure(429, 'TooManyRequests'), 429, { 'retry-after': '3' }))
      const error = await errorOf(client.get('/api/v1/pods'))
      assert.deepEqual(
        { status: error.status, reason: error.reason, message: error.message, retryAfterMs: error.retryAfterMs },
        { status: 429, reason: 'TooManyRequests', message: 'GET /api/v1/pods: 429 because of TooManyRequests', retryAfterMs: 3000 },
      )
    })

    it('take a refusal that is no Status as it is, and a Retry-After that is no number as none', async () => {
      const { client } = await serve((_, response) => {
        response.writeHead(502, { 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT' })
        response.end('<html>bad gateway</html>')
      })
      const error = await errorOf(client.get('/version'))
      assert.equal(error.message, 'GET /version: 502 <html>bad gateway</html>')
      assert.equal(error.retryAfterMs, undefined)
    })

    it('throw with status 0 for an answer that is cut off or not JSON, and if there is none', async () => {
      const { client, server } = await serve(({ url }, response) => {
        if (url === '/cut') {
          response.writeHead(200, { 'content-length': '100' })
          response.write('{"a":', () => response.destroy())
        } else if (url === '/text') response.end('ok')
        else response.destroy()
      })
      for (const path of ['/cut', '/text', '/none']) assert.equal((await errorOf(client.get(path))).status, 0, path)
      assert.match((await errorOf(client.get('/text'))).message, /GET \/text: the answer is cut off or not JSON/)
      assert.equal((await errorOf(clientOf({ server: server.replace(/\d+$/, '1'), skipTLSVerify: true }).get('/version'))).status, 0)
    })

    it('as a stream come piece by piece and end when they are aborted', async () => {
      const { client } = await serve((_, response) => {
        response.write('one\n')
      })
      const abort = new AbortController()
      const answer = await client.stream('/watch', {}, abort.signal)
      const [first] = (await once(answer, 'data')) as [Buffer]
      assert.equal(first.toString(), 'one\n')
      const ended = once(answer, 'error')
      abort.abort()
      await ended
    })

    it('as a stream fail if they are aborted before the answer', async () => {
      const { client } = await serve(() => {})
      const abort = new AbortController()
      const error = errorOf(client.stream('/watch', {}, abort.signal))
      abort.abort()
      assert.equal((await error).status, 0)
    })
  })

  describe('writes', () => {
    it('create and replace whole objects, also fields that no schema knows', async () => {
      const { client, seen } = await serve(json(configMap, 201))
      assert.deepEqual(await client.create(configMap), configMap)
      await client.replace(configMap)
      await client.replace(configMap, { subresource: 'status', query: { dryRun: 'All' } })
      assert.deepEqual(seen.map(({ method, url }) => `${method} ${url}`), [
        'POST /api/v1/namespaces/shop/configmaps',
        'PUT /api/v1/namespaces/shop/configmaps/settings',
        'PUT /api/v1/namespaces/shop/configmaps/settings/status?dryRun=All',
      ])
      // By which the API server names the field manager.
      assert.ok(seen.every(({ headers }) => headers['user-agent'] === 'waymark'))
      assert.deepEqual(JSON.parse(seen[0]?.body ?? ''), configMap)
      assert.equal(seen[0]?.headers['content-type'], 'application/json')
      assert.equal(seen[0].headers.authorization, 'Bearer token-1')
    })

    it('go to a subresource of an object that is made there', async () => {
      const { client, seen } = await serve(json(configMap, 201))
      const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { namespace: 'shop', name: 'cart-1' } }
      await assert.rejects(async () => client.create(eviction, { subresource: 'eviction' }), /does not know the kind/)
      await client.create({ ...eviction, apiVersion: 'v1', kind: 'Pod' }, { subresource: 'eviction' })
      assert.equal(seen[0]?.url, '/api/v1/namespaces/shop/pods/cart-1/eviction')
    })

    it('apply by force as a field manager, and patch by merging', async () => {
      const { client, seen } = await serve(json(configMap))
      await client.apply(configMap, 'waymark')
      await client.patch(ref, { data: { a: null } })
      assert.deepEqual(seen.map(({ method, url, headers }) => `${method} ${url} ${headers['content-type']}`), [
        'PATCH /api/v1/namespaces/shop/configmaps/settings?fieldManager=waymark&force=true application/apply-patch+yaml',
        'PATCH /api/v1/namespaces/shop/configmaps/settings application/merge-patch+json',
      ])
      assert.equal(seen[1]?.body, '{"data":{"a":null}}')
    })

    it('remove in the background, that very object, and do not mind if it is gone or another', async () => {
      let status = 200
      const { client, seen } = await serve((one, response) => json(failure(status, 'R'), status)(one, response))
      await client.remove(ref, 'uid-1')
      assert.deepEqual(JSON.parse(seen[0]?.body ?? ''), { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background', preconditions: { uid: 'uid-1' } })
      status = 404
      await client.remove(ref)
      status = 409
      await client.remove(ref, 'uid-1')
      assert.equal((await errorOf(client.remove(ref))).status, 409)
      status = 403
      assert.equal((await errorOf(client.remove(ref))).status, 403)
    })

    it('tell a conflict, and status 0 if no answer comes', async () => {
      const { client } = await serve(({ method }, response) => {
        if (method === 'POST') response.destroy()
        else json(failure(409, 'Conflict'), 409)({} as Seen, response)
      })
      const conflict = await errorOf(client.replace(configMap))
      assert.equal(`${conflict.status} ${conflict.reason}: ${conflict.message}`, '409 Conflict: PUT /api/v1/namespaces/shop/configmaps/settings: 409 because of Conflict')
      const cut = await errorOf(client.create(configMap))
      assert.equal(cut.status, 0)
      assert.match(cut.message, /^POST \/api\/v1\/namespaces\/shop\/configmaps: /)
    })

    it('use connections again', async () => {
      const { client, sockets } = await serve(json(configMap))
      for (let at = 0; at < 10; at++) await client.replace(configMap)
      // The library may open a second one before it notices that the first one is free.
      assert.ok(sockets.size <= 2, `${sockets.size} connections`)
    })
  })

  describe('names', () => {
    it('can not lead to another path', async () => {
      const { client, seen } = await serve(json(configMap))
      await client.read({ ...ref, name: '../../../secrets/x' })
      await client.read({ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', name: 'system:node' })
      assert.deepEqual(seen.map(({ url }) => url), [
        '/api/v1/namespaces/shop/configmaps/..%2F..%2F..%2Fsecrets%2Fx',
        '/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node',
      ])
      for (const bad of [{ ...ref, name: '..' }, { ...ref, name: '' }, { ...ref, namespace: '..' }, { ...ref, namespace: '' }, { ...ref, namespace: undefined }]) {
        await assert.rejects(client.read(bad), /is no name|namespace is missing/)
      }
      assert.equal(seen.length, 2)
    })
  })

  describe('refresh', () => {
    it('reads the credentials anew for reads and writes, and leaves running streams alone', async () => {
      const streams: ServerResponse[] = []
      const { client, seen } = await serve((one, response) => {
        if (one.url !== '/watch') {
          json(configMap)(one, response)
          return
        }
        streams.push(response)
        response.write('one\n')
      })
      const answer = await client.stream('/watch', {}, new AbortController().signal)
      await once(answer, 'data')
      client.refresh()
      await client.get('/version')
      await client.replace(configMap)
      assert.deepEqual(seen.map(({ headers }) => headers.authorization), ['Bearer token-1', 'Bearer token-2', 'Bearer token-2'])
      streams[0]?.write('two\n')
      const [second] = (await once(answer, 'data')) as [Buffer]
      assert.equal(second.toString(), 'two\n')
      const closed = once(answer, 'close')
      streams[0]?.end()
      await closed
    })

    it('does not throw at a kubeconfig that is half written: requests do, until it is whole', async () => {
      const { seen, server } = await serve(json(configMap))
      let broken = false
      const client = clientOf({ server, skipTLSVerify: true }, (load) => {
        if (broken) throw new Error('unexpected end of the document')
        return { token: `token-${load}` }
      })
      broken = true
      client.refresh()
      for (const asked of [client.get('/version'), client.replace(configMap)]) {
        const error = await errorOf(asked)
        assert.equal(error.status, 0)
        assert.match(error.message, /can not be read anew: unexpected end of the document/)
      }
      broken = false
      await client.replace(configMap)
      await client.get('/version')
      assert.deepEqual(seen.map(({ headers }) => headers.authorization), ['Bearer token-4', 'Bearer token-4'])
    })
  })

  describe('a kubeconfig', () => {
    it('must name a cluster', () => {
      assert.throws(() => createKubeClient(() => new KubeConfig()), /names no cluster; set a context/)
    })

    it('that can not be used is told with status 0', async () => {
      const { server } = await serve(json({}))
      const error = await errorOf(clientOf({ server, skipTLSVerify: false }).get('/version'))
      assert.equal(error.status, 0)
      assert.match(error.message, /the kubeconfig can not be used: HTTP protocol is not allowed/)
      const fileless = clientOf({ server, skipTLSVerify: true }, () => ({ authProvider: { name: 'tokenFile', config: { tokenFile: '/does/not/exist' } } }))
      assert.match((await errorOf(fileless.get('/version'))).message, /can not be used: .*ENOENT/)
      assert.equal((await errorOf(fileless.create(configMap))).status, 0)
    })
  })

  describe('over TLS', () => {
    const authority = makeRoot('kube.example', { nowMs: Date.now() })
    /** A certificate for 127.0.0.1 and for the name `apiserver`, or of a user without any. */
    const certificate = (names: boolean): { readonly cert: string; readonly key: string } => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
      const alternative = extension('2.5.29.17', true, sequence(implicit(7, Buffer.from([127, 0, 0, 1])), implicit(2, Buffer.from('apiserver'))))
      const der = makeCertificate({
        ...{ serial: randomSerial(), issuer: authority.name, notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 3_600_000, subject: emptyName() },
        publicKey: publicKey.export({ type: 'spki', format: 'der' }),
        extensions: [endEntityConstraints(), keyUsage('digitalSignature'), bothTlsUsages(), authorityKeyIdentifier(authority.keyIdentifier), ...(names ? [alternative] : [])],
        key: authority.key,
      })
      return {
        cert: `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`,
        key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      }
    }
    const base64 = (text: string): string => Buffer.from(text).toString('base64')
    const serveTls = async () => {
      const seen: { readonly authorized: boolean; readonly method: string | undefined }[] = []
      const answer: RequestListener = (request, response) => {
        seen.push({ authorized: request.socket instanceof TLSSocket && request.socket.authorized, method: request.method })
        request.resume()
        response.end(JSON.stringify(configMap))
      }
      const port = await listen(createTlsServer({ ...certificate(true), ca: authority.rootPem, requestCert: true, rejectUnauthorized: false }, answer))
      return { seen, port }
    }

    it('trusts the CA that it was given, and shows its own certificate, in reads and writes', async () => {
      const { seen, port } = await serveTls()
      const own = certificate(false)
      const client = clientOf({ server: `https://127.0.0.1:${port}`, skipTLSVerify: false, caData: base64(authority.rootPem) }, () => ({ certData: base64(own.cert), keyData: base64(own.key) }))
      await client.get('/version')
      await client.create(configMap)
      assert.deepEqual(seen, [
        { authorized: true, method: 'GET' },
        { authorized: true, method: 'POST' },
      ])
    })

    it('refuses a server of another CA, in reads and writes', async () => {
      const { seen, port } = await serveTls()
      const other = makeRoot('other.example', { nowMs: Date.now() })
      const client = clientOf({ server: `https://127.0.0.1:${port}`, skipTLSVerify: false, caData: base64(other.rootPem) })
      assert.equal((await errorOf(client.get('/version'))).status, 0)
      assert.equal((await errorOf(client.create(configMap))).status, 0)
      assert.deepEqual(seen, [])
    })

    it('refuses a server of another name, and takes the name that it was told', async () => {
      const { port } = await serveTls()
      const cluster = { server: `https://localhost:${port}`, skipTLSVerify: false, caData: base64(authority.rootPem) }
      assert.match((await errorOf(clientOf(cluster).get('/version'))).message, /altnames/)
      await clientOf({ ...cluster, tlsServerName: 'apiserver' }).get('/version')
      await clientOf({ ...cluster, tlsServerName: 'apiserver' }).create(configMap)
    })

    it('takes any server if it was told not to look', async () => {
      const { port } = await serveTls()
      const client = clientOf({ server: `https://127.0.0.1:${port}`, skipTLSVerify: true })
      await client.get('/version')
      await client.create(configMap)
    })
  })
})
