import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { join } from 'node:path'
import { dialogue, type Dialogue } from '../lib/lines.ts'
import { startApplication, type Application } from './server.ts'

describe('the suite\'s application', () => {
  let application: Application
  let driver: ChildProcess
  let talk: Dialogue
  const url = (path: string): string => `http://127.0.0.1:${application.ports.http}${path}`
  const direct = { via: 'direct' }

  before(async () => {
    application = await startApplication({ http: 0, grpc: 0, tcp: 0, udp: 0 })
    driver = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), 'drive'], { stdio: ['pipe', 'pipe', 'inherit'] })
    talk = dialogue(driver.stdin!, driver.stdout!)
  })
  after(async () => {
    driver.stdin?.end()
    await once(driver, 'close')
    await application.end(0, 0)
  })

  it('says what arrived', async () => {
    const [reply] = await talk.ask('requests', { url: url('/a?b=c'), method: 'POST', body: 'hello', headers: { 'X-One': ['1', '2'] }, ...direct }).result
    assert.equal(reply?.status, 200)
    assert.equal(reply.echo?.method, 'POST')
    assert.equal(reply.echo.path, '/a?b=c')
    assert.equal(reply.echo.body, 'hello')
    assert.deepEqual(reply.echo.headers['x-one'], ['1', '2'])
    assert.equal(reply.echo.peer, '127.0.0.1')
  })

  it('keeps connections, unless each request shall have one of its own', async () => {
    const ask = async (fresh: boolean) => (await talk.ask('requests', { url: url('/'), fresh, ...direct }).result)[0]?.echo?.headers['connection']
    assert.deepEqual([await ask(false), await ask(true)], [['keep-alive'], ['close']])
  })

  it('answers as it is asked to', async () => {
    const ask = async (path: string) => (await talk.ask('requests', { url: url(path), ...direct }).result)[0]
    assert.equal((await ask('/status/418'))?.status, 418)
    assert.deepEqual((await ask('/?header=x-a:1&header=x-a:2'))?.headers?.['x-a'], ['1', '2'])
    assert.deepEqual([(await ask('/?fails=1&key=k&status=503'))?.status, (await ask('/?fails=1&key=k&status=503'))?.status], [503, 200])
    assert.match((await ask('/?reset=1'))?.error ?? '', /ECONNRESET|socket hang up/)
  })

  it('remembers what came with a key', async () => {
    await talk.ask('requests', { url: url('/x'), headers: { 'x-key': 'me' }, count: 3, ...direct }).result
    const [reply] = await talk.ask('requests', { url: url('/seen?key=me'), ...direct }).result
    assert.equal((JSON.parse(reply?.body ?? '{}') as { count: number }).count, 3)
  })

  it('answers many, in order, and only who it was if asked to be brief', async () => {
    const replies = await talk.ask('requests', { url: url('/'), count: 100, concurrency: 10, brief: true, ...direct }).result
    assert.equal(replies.length, 100)
    assert.ok(replies.every(({ status, pod, headers }) => status === 200 && pod !== undefined && headers === undefined))
  })

  it('speaks HTTP/2 on the same port', async () => {
    const session = connectHttp2(`http://127.0.0.1:${application.ports.http}`)
    const stream = session.request({ ':path': '/two' })
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk as Buffer)
    session.close()
    assert.equal((JSON.parse(Buffer.concat(chunks).toString()) as { http: string }).http, '2.0')
  })

  it('calls gRPC of every kind over one connection', async () => {
    const target = `127.0.0.1:${application.ports.grpc}`
    const calls = async (method: 'Say' | 'Stream' | 'Chat' | 'Fail' | 'Missing', more: object = {}) => talk.ask('grpc', { target, method, ...direct, ...more }).result
    const said = await calls('Say', { count: 20, concurrency: 4, metadata: { 'x-user': 'jason' } })
    assert.ok(said.every(({ code }) => code === 0))
    assert.equal((said[0]?.messages?.[0]?.['metadata'] as Record<string, string> | undefined)?.['x-user'], 'jason')
    assert.ok(said[0]?.trailers !== undefined && 'x-trailer' in said[0].trailers)
    assert.equal((await calls('Stream', { message: { count: 4 } }))[0]?.messages?.length, 4)
    assert.equal((await calls('Chat', { message: { count: 5 } }))[0]?.messages?.length, 5)
    assert.equal((await calls('Fail', { message: { code: 9 } }))[0]?.code, 9)
    assert.equal((await calls('Missing'))[0]?.code, 12)
    assert.equal((await calls('Say', { message: { delayMs: 2_000 }, deadlineMs: 50 }))[0]?.code, 4)
  })

  it('speaks first on its TCP port, and echoes', async () => {
    const [reply] = await talk.ask('tcp', { target: `127.0.0.1:${application.ports.tcp}`, send: 'abc', ...direct }).result
    assert.equal(reply?.echoed, 'abc')
    assert.equal(typeof reply.pod, 'string')
  })

  it('says bytes as they are, ends its direction, and hears the rest', async () => {
    const target = `127.0.0.1:${application.ports.tcp}`
    const [whole] = await talk.ask('raw', { target, send: 'x'.repeat(200_000), half: true, ...direct }).result
    assert.deepEqual([whole?.end, whole?.received.split('\n')[1]?.length], ['end', 200_000])
    const [hello] = await talk.ask('raw', { target, sni: 'a.example', untilText: 'a.example', ...direct }).result
    assert.equal(hello?.end, 'text')
    assert.deepEqual(await talk.ask('raw', { target: '127.0.0.1:1', count: 2, ...direct }).result, Array(2).fill({ received: '', end: 'ECONNREFUSED' }))
    const [refused] = await talk.ask('raw', { target: `127.0.0.1:${application.ports.http}`, send: 'GARBAGE\r\n\r\n', ...direct }).result
    assert.match(refused?.received ?? '', /^HTTP\/1\.1 400 /)
  })

  it('sends a datagram and gets it back', async () => {
    const [reply] = await talk.ask('udp', { host: '127.0.0.1', port: application.ports.udp }).result
    assert.match(reply?.from ?? '', /^127\.0\.0\.1:\d+$/)
  })

  it('answers a health check of gRPC as the kubelet makes it', async () => {
    const session = connectHttp2(`http://127.0.0.1:${application.ports.grpc}`)
    const stream = session.request({ ':method': 'POST', ':path': '/grpc.health.v1.Health/Check', 'content-type': 'application/grpc', 'te': 'trailers' })
    stream.end(Buffer.from([0, 0, 0, 0, 0]))
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk as Buffer)
    session.close()
    // A message of two bytes: field 1 is 1, SERVING.
    assert.deepEqual([...Buffer.concat(chunks)], [0, 0, 0, 0, 2, 8, 1])
  })

  it('echoes over a WebSocket', async () => {
    assert.deepEqual(await talk.ask('websocket', { url: url('/ws'), send: 'hi', ...direct }).result, { status: 101, echoed: 'hi' })
  })

  it('keeps a steady load, tells failures, and stops when told', async () => {
    const load = talk.ask('load', { url: url('/?failon=nobody&status=500'), rps: 100, forSeconds: 60, ...direct })
    await talk.ask('until', { url: url('/'), status: 200, ...direct }).result
    await new Promise((resolve) => setTimeout(resolve, 200))
    await talk.ask('stop', { id: load.id }).result
    const result = await load.result
    assert.equal(result.failed, 0)
    assert.equal(result.statuses['200'], result.sent)
    assert.ok(result.sent > 0 && result.lastedMs < 30_000)
    const failing = await talk.ask('load', { url: url('/status/500'), rps: 50, forSeconds: 0.1, ...direct }).result
    assert.equal(failing.failed, failing.sent)
    assert.equal(failing.failures[0]?.status, 500)
  })

  it('waits until an answer is as it should be, and says so if it never is', async () => {
    assert.equal((await talk.ask('until', { url: url('/?fails=3&key=u&status=503'), status: 200, ...direct }).result).asked, 4)
    assert.equal((await talk.ask('until', { url: url('/'), status: 404, withinMs: 20, ...direct }).result).held, false)
  })

  it('serves on at its end until traffic has ceased', async () => {
    const other = await startApplication({ http: 0, grpc: 0, tcp: 0, udp: 0 })
    const at = `http://127.0.0.1:${other.ports.http}`
    const slow = talk.ask('requests', { url: `${at}/delay/300`, ...direct }).result
    await talk.ask('until', { url: at, status: 200, ...direct }).result
    const ended = other.end(100, 10_000)
    const [late] = await talk.ask('requests', { url: at, ...direct }).result
    assert.equal(late?.status, 200)
    assert.deepEqual(late.headers?.['connection'], ['close'])
    assert.equal((await slow)[0]?.status, 200)
    await ended
    assert.equal((await talk.ask('requests', { url: at, ...direct }).result)[0]?.status, 0)
  })

  it('does not wait for the kubelet, which goes on asking to the end', async () => {
    const other = await startApplication({ http: 0, grpc: 0, tcp: 0, udp: 0 })
    const at = `http://127.0.0.1:${other.ports.http}/status/200`
    let asked = 0
    const ended = other.end(300, 60_000).then(() => true)
    const pause = (): Promise<boolean> => new Promise((resolve) => setTimeout(() => resolve(false), 20))
    for (; !(await Promise.race([ended, pause()])); asked++) await fetch(at, { headers: { 'user-agent': 'kube-probe/1.35' } }).then((answer) => answer.text()).catch(() => '')
    assert.ok(asked > 0 && asked < 2_000)
  })
})
