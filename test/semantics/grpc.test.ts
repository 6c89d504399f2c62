import assert from 'node:assert/strict'
import { Metadata, status, type Client, type ServerUnaryCall } from '@grpc/grpc-js'
import { until } from '../../src/control/testing/world.ts'
import { callUnary, echoClient, echoService, startEcho, type CallResult } from '../../waypoint/http2/testing/grpc-services.ts'
import { relay, type Relay } from './testing/relay.ts'
import { l7Namespace, route, service, to, type Manifest } from './testing/manifests.ts'
import { startMesh, type Mesh } from './testing/mesh.ts'

const asIs = (value: Buffer): Buffer => value
const grpcPort = [{ name: 'grpc', port: 80, appProtocol: 'grpc' }]

describe('gRPC (semantics 4)', () => {
  let mesh: Mesh
  const closers: (() => void)[] = []
  let cancelled = 0
  const clients = new Map<string, { readonly client: Client; readonly relay: Relay }>()

  const start = async (name: string): Promise<{ readonly host: string; readonly port: number }> => {
    const tell = (call: ServerUnaryCall<Buffer, Buffer>): Buffer => Buffer.from(`${name}:${call.metadata.get('x-rule').join()}:${call.request.toString()}`)
    const { port, server } = await startEcho({
      Unary: (call, done) => {
        if (call.request.toString() === 'hang') {
          call.on('cancelled', () => cancelled++)
          return
        }
        const trailer = new Metadata()
        trailer.set('x-trailer', name)
        if (call.request.toString() === 'fail') done({ code: status.DATA_LOSS, details: 'lost', metadata: trailer })
        else done(null, tell(call), trailer)
      },
      Collect: (call, done) => {
        let all = ''
        call.on('data', (chunk: Buffer) => { all += chunk.toString() })
        call.on('end', () => done(null, Buffer.from(all)))
      },
      Repeat: (call) => {
        for (let at = 0; at < 100; at++) call.write(Buffer.from(`${at}`))
        call.end()
      },
      Chat: (call) => {
        call.on('data', (chunk: Buffer) => void call.write(chunk))
        call.on('end', () => call.end())
      },
    })
    closers.push(() => server.forceShutdown())
    return { host: '127.0.0.1', port }
  }
  const client = async (name: string): Promise<Client> => {
    const known = clients.get(name)
    if (known !== undefined) return known.client
    const made = await relay(mesh.entry('books'), `${name}.books:80`)
    const fresh = { client: echoClient(made.port), relay: made }
    clients.set(name, fresh)
    closers.push(() => fresh.client.close(), made.close)
    return fresh.client
  }
  const unary = async (name: string, message = 'hi', metadata = new Metadata(), options = {}): Promise<CallResult> =>
    callUnary(await client(name), Buffer.from(message), metadata, options)

  before(async () => {
    const [a, b] = [await start('a'), await start('b')]
    const rule = (name: string, matches: readonly Manifest[], service = 'books/a'): Manifest => ({
      ...(matches.length === 0 ? {} : { matches }), backendRefs: [to(service)],
      filters: [{ type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'x-rule', value: name }] } }],
    })
    const method = (more: Manifest, headers: readonly Manifest[] = []): Manifest => ({ method: more, ...(headers.length === 0 ? {} : { headers }) })
    const front = (name: string, rules: readonly Manifest[]): Manifest[] =>
      [...service(`books/${name}`, [], { ports: grpcPort }), ...(rules.length === 0 ? [] : [route('GRPCRoute', `books/${name}`, `books/${name}`, rules)])]
    mesh = await startMesh(
      ['books'], ...l7Namespace('books'), ...service('books/a', [a], { ports: grpcPort }), ...service('books/b', [b], { ports: grpcPort }),
      ...service('books/both', [a, b], { ports: grpcPort }), ...service('books/empty', [], { ports: grpcPort }),
      ...front('all', [rule('all', [])]),
      ...front('weights', [{ backendRefs: [to('books/a', { weight: 3 }), to('books/b', { weight: 1 }), to('books/missing', { weight: 0 })] }]),
      ...front('half', [{ backendRefs: [to('books/a'), to('books/missing')] }]),
      ...front('nobody', [{ backendRefs: [to('books/empty')] }]),
      ...front('matches', [
        rule('service', [method({ service: 'test.Echo' })]), rule('method', [method({ service: 'test.Echo', method: 'Unary' })]),
        rule('header', [method({ service: 'test.Echo', method: 'Unary' }, [{ name: 'x-h', value: '1' }])]),
      ]),
      ...front('regex', [rule('regex', [method({ type: 'RegularExpression', service: 'test\\.E.*', method: 'Un.ry' })])]),
      ...front('narrow', [rule('narrow', [method({ service: 'other.Service', method: 'Unary' })])]),
      ...front('case', [rule('case', [method({ service: 'test.Echo', method: 'unary' })])]),
    )
  })
  after(async () => {
    for (const close of closers) close()
    await mesh.close()
  })

  it('unary calls pass with metadata, message and trailers, and an application\'s own error stays its own', async () => {
    const good = await unary('all')
    assert.deepEqual([good.code, good.message?.toString(), good.trailer.get('x-trailer')], [status.OK, 'a:all:hi', ['a']])
    const bad = await unary('all', 'fail')
    assert.deepEqual([bad.code, bad.details, bad.trailer.get('x-trailer')], [status.DATA_LOSS, 'lost', ['a']])
  })

  it('client, server and bidirectional streaming pass, message by message', async () => {
    const stub = await client('all')
    const collected = await new Promise<string>((resolve, reject) => {
      const call = stub.makeClientStreamRequest(echoService.Collect.path, asIs, asIs, (error, value) => {
        if (error === null) resolve(value?.toString() ?? '')
        else reject(error)
      })
      for (const part of ['a', 'b', 'c']) call.write(Buffer.from(part))
      call.end()
    })
    assert.equal(collected, 'abc')
    let repeated = 0
    for await (const part of stub.makeServerStreamRequest(echoService.Repeat.path, asIs, asIs, Buffer.from('x'))) assert.equal((part as Buffer).toString(), String(repeated++))
    assert.equal(repeated, 100)
    // Each message waits for the answer to the one before: nothing may be held back until the end.
    const chat = stub.makeBidiStreamRequest(echoService.Chat.path, asIs, asIs)
    for (const word of ['one', 'two', 'three']) {
      const answer = new Promise<Buffer>((resolve) => chat.once('data', resolve))
      chat.write(Buffer.from(word))
      assert.equal((await answer).toString(), word)
    }
    const ended = new Promise((resolve) => chat.once('end', resolve))
    chat.end()
    await ended
  })

  it('a deadline passes through, and cancelling it ends the call at the backend', async () => {
    cancelled = 0
    const late = await unary('all', 'hang', new Metadata(), { deadline: Date.now() + 150 })
    assert.equal(late.code, status.DEADLINE_EXCEEDED)
    await until('the backend was told of the deadline', () => cancelled === 1)
    const call = (await client('all')).makeUnaryRequest(echoService.Unary.path, asIs, asIs, Buffer.from('hang'), () => {})
    const over = new Promise<number>((resolve) => call.on('status', ({ code }) => resolve(code)))
    setImmediate(() => call.cancel())
    assert.equal(await over, status.CANCELLED)
  })

  it('calls in one connection are shared by weight; a missing backend of weight 0 costs nothing', async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, () => unary('weights')))
    assert.deepEqual([...new Set(answers.map(({ code }) => code))], [status.OK])
    const ofA = answers.filter(({ message }) => message?.toString().startsWith('a:') === true).length
    assert.ok(Math.abs(ofA - 150) <= 2, `${ofA} of 200 went to a`)
    assert.equal(clients.get('weights')?.relay.taken(), 1)
  })

  it('without routes calls in one connection go to every endpoint', async () => {
    const answers = await Promise.all(Array.from({ length: 40 }, () => unary('both')))
    assert.deepEqual([...new Set(answers.map(({ message }) => message?.toString()))].sort(), ['a::hi', 'b::hi'])
    assert.equal(clients.get('both')?.relay.taken(), 1)
  })

  it('an invalid backend\'s share and a Service without endpoints are UNAVAILABLE', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => unary('half')))
    assert.deepEqual(answers.map(({ code }) => code).sort((a, b) => a - b), [...Array<number>(10).fill(status.OK), ...Array<number>(10).fill(status.UNAVAILABLE)])
    const nobody = await unary('nobody')
    assert.deepEqual([nobody.code, nobody.trailer.get('x-waypoint-reason')], [status.UNAVAILABLE, ['no-endpoint']])
  })

  it('the most specific match wins: service, method, then headers, whatever the order of the rules', async () => {
    assert.equal((await unary('matches')).message?.toString(), 'a:method:hi')
    const metadata = new Metadata()
    metadata.set('x-h', '1')
    assert.equal((await unary('matches', 'hi', metadata)).message?.toString(), 'a:header:hi')
    assert.equal((await unary('regex')).message?.toString(), 'a:regex:hi')
  })

  it('a call that no rule matches is UNIMPLEMENTED, never the Service\'s own endpoints; names mind case', async () => {
    for (const name of ['narrow', 'case']) {
      const missed = await unary(name)
      assert.deepEqual([missed.code, missed.trailer.get('x-waypoint-reason')], [status.UNIMPLEMENTED, ['no-route']], name)
    }
  })
})
