import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { createServer, get, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { entryKey, type Entry } from '../model/entries.ts'
import { formatSpiffeId } from '../model/identity.ts'
import { ask, until } from '../control/testing/world.ts'
import { controller, service, startControlPlane, trustDomain, type ControlPlane } from '../publish/testing/control.ts'
import { startCommand, type CommandProcess } from './testing/process.ts'

const till = { trustDomain, namespace: 'shop', serviceAccount: 'till' }
const token = ['{}', JSON.stringify({ 'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'till' }, pod: { name: 'till-1' } } }), 'x'].map((part) => Buffer.from(part).toString('base64url')).join('.')

describe('connect in a pod', function () {
  this.timeout(60_000)
  let plane: ControlPlane
  let backend: Server
  let address = ''
  const started: CommandProcess[] = []

  before(async () => {
    backend = createServer((_, response) => void response.end('cart')).listen(0, '127.0.0.1')
    await once(backend, 'listening')
  })
  after(() => backend.close())
  beforeEach(async () => {
    plane = await startControlPlane()
    const { server, publisher } = await plane.start({ reviewToken: (shown) => Promise.resolve(shown === token ? { identity: till } : 'a stranger') })
    address = `${server.address.host}:${server.address.port}`
    const { port } = backend.address() as AddressInfo
    const endpoints: Entry = {
      kind: 'endpoints', namespace: 'shop', name: 'cart',
      ports: [{ port: 80, endpoints: [{ address: '127.0.0.1', port, condition: 'ready', transport: { kind: 'plain' } }] }],
    }
    publisher.publish(new Map([service('shop', 'cart'), endpoints].map((each) => [entryKey(each), each])))
  })
  afterEach(async () => {
    for (const { child, ended } of started.splice(0)) {
      child.kill('SIGKILL')
      await ended
    }
    await plane.close()
  })

  const start = (tokenFile: string, ...args: readonly string[]): CommandProcess => {
    const command = startCommand('connect', '--controller', address, '--controller-id', formatSpiffeId(controller), '--trust-domain', trustDomain,
      '--token-file', tokenFile, '--bundle-file', plane.bundleFile, '--state', join(plane.directory, 'state'), '--port', '0', '--ready-port', '0', ...args)
    started.push(command)
    return command
  }
  const portOf = async (command: CommandProcess, pattern: RegExp): Promise<{ host: string; port: number }> =>
    ({ host: '127.0.0.1', port: Number((await command.untilSaid(pattern))[1]) })
  const entryOf = (command: CommandProcess): Promise<{ host: string; port: number }> => portOf(command, /entry of spiffe:\/\/mesh\.example\/ns\/shop\/sa\/till on \S+:(\d+)\n[^]*ready: /)
  const ready = async (at: { host: string; port: number }): Promise<number | undefined> => {
    const request = get({ ...at, path: '/readyz', agent: false })
    const [response] = (await once(request, 'response')) as [{ statusCode?: number; resume: () => void }]
    response.resume()
    return response.statusCode
  }

  it('is who its token says, is ready when it can carry requests, and drains at a signal', async () => {
    const tokenFile = join(plane.directory, 'token')
    await writeFile(tokenFile, token)
    const command = start(tokenFile)
    const probes = await portOf(command, /readiness on http:\/\/\S+:(\d+)/)
    const proxy = await entryOf(command)
    assert.equal(await ready(probes), 200)
    assert.equal((await ask(proxy, 'http://cart/')).body, 'cart')
    command.child.kill('SIGTERM')
    assert.equal(await command.ended, 0)
    // The next one starts from what that one kept.
    address = '127.0.0.1:1'
    const next = start(tokenFile)
    assert.equal((await ask(await entryOf(next), 'http://cart/')).body, 'cart')
    await until('it says where that is from', () => /serving from the configuration that was kept/.test(next.said()))
  })

  it('says why it is not ready, and ends at a signal all the same', async () => {
    const tokenFile = join(plane.directory, 'token')
    await writeFile(tokenFile, `${token}z`)
    const command = start(tokenFile)
    const probes = await portOf(command, /readiness on http:\/\/\S+:(\d+)/)
    await command.untilSaid(/certificate of .*a stranger; trying again/)
    assert.equal(await ready(probes), 503)
    command.child.kill('SIGTERM')
    assert.equal(await command.ended, 0)
  })

  it('does not start as somebody else than its token', async () => {
    const tokenFile = join(plane.directory, 'token')
    await writeFile(tokenFile, token)
    const command = start(tokenFile, '--as', 'shop/boss')
    assert.equal(await command.ended, 1)
    assert.match(command.said(), /can not start: --as names .*boss, and the token is that of .*till/)
  })
})
