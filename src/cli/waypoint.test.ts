import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createHboneClient } from '../transport/hbone-client.ts'
import { keepCredentials } from '../transport/credentials.ts'
import { systemClock } from '../kit/clock.ts'
import { formatSpiffeId, type Identity } from '../model/identity.ts'
import { controller, snapshotOf, startControlPlane, trustDomain, until, type ControlPlane, type TestController } from '../publish/testing/control.ts'
import { endpoints, service } from '../../waypoint/serve/testing/entries.ts'
import { askOver, endpoint } from '../../waypoint/serve/testing/rig.ts'
import { startCommand, type CommandProcess } from './testing/process.ts'

const identity: Identity = { trustDomain, namespace: 'shop', serviceAccount: 'waypoint' }

describe('waymark waypoint', function () {
  this.timeout(60_000)
  const backend = createServer((_request, response) => response.end('a'))
  let plane: ControlPlane
  let control: TestController
  let command: CommandProcess | undefined
  before((done) => void backend.listen(0, '127.0.0.1', done))
  after(() => {
    backend.close()
    backend.closeAllConnections()
  })
  beforeEach(async () => {
    plane = await startControlPlane()
    control = await plane.start()
    const cart = service('shop', 'cart', '10.0.0.1')
    control.publisher.publish(snapshotOf(cart, endpoints('shop', 'cart', endpoint((backend.address() as AddressInfo).port))))
  })
  afterEach(async () => {
    if (command?.child.exitCode === null) command.child.kill('SIGKILL')
    await command?.ended
    await plane.close()
  })
  const start = async (...args: readonly string[]): Promise<CommandProcess> => {
    const { host, port } = control.server.address
    command = startCommand('waypoint', '--namespace', 'shop', '--name', 'waypoint', '--pod', 'waypoint-1', '--trust-domain', trustDomain, '--controller', `${host}:${port}`,
      '--controller-id', formatSpiffeId(controller), '--token-file', await plane.tokenFile('shop/waypoint'), '--bundle-file', plane.bundleFile, '--state', `${plane.directory}/state`,
      '--host', '127.0.0.1', '--hbone-port', '0', '--admin-port', 'none', '--metrics-port', 'none', '--ready-port', 'none', '--linger', '0', ...args)
    return command
  }
  /** One request each over sessions of their own. */
  const ask = async (port: number, times: number): Promise<readonly number[]> => {
    const till: Identity = { ...identity, serviceAccount: 'till' }
    const credentials = await keepCredentials({ identity: till, clock: systemClock, fetch: (key) => plane.ca.issue(till, key), onError: () => {} })
    const statuses = await Promise.all(Array.from({ length: times }, async () => {
      const client = createHboneClient({ credentials, clock: systemClock })
      const tunnel = await client.connect({ host: '127.0.0.1', port, authority: '10.0.0.1:80', peer: { kind: 'identity', id: formatSpiffeId(identity) } })
      const { status } = await askOver(tunnel, {})
      client.close()
      return status
    }))
    credentials.close()
    return statuses
  }

  it('serves in several threads: whole lines on stdout, nothing acknowledged before they run it, and an end when all are done', async () => {
    const { child, untilSaid, out, ended } = await start('--workers', '2', '--log-level', 'debug')
    const [, port] = await untilSaid(/waypoint shop\/waypoint on 127\.0\.0\.1:(\d+), 2 workers\n/)
    const acknowledged = (): boolean => control.server.acknowledgements().some(({ pod, hash }) => pod === 'waypoint-1' && hash === control.publisher.hash({ kind: 'waypoint', namespace: 'shop' }))
    await until('the first configuration is acknowledged', acknowledged)
    assert.deepEqual([...new Set(await ask(Number(port), 24))], [200])
    control.publisher.publish(snapshotOf(service('shop', 'cart', '10.0.0.1')))
    await until('the change is acknowledged', acknowledged)
    assert.deepEqual([...new Set(await ask(Number(port), 24))], [503])
    child.kill('SIGTERM')
    assert.equal(await ended, 0)
    const logged = out().trimEnd().split('\n').map((line) => (JSON.parse(line) as { readonly status: number }).status)
    assert.deepEqual([200, 503].map((status) => logged.filter((each) => each === status).length), [24, 24])
  })

  it('goes on taking connections for a while after it was told to end, for callers that have not heard of it', async () => {
    const { child, untilSaid, ended } = await start('--linger', '2')
    const [, port] = await untilSaid(/waypoint shop\/waypoint on 127\.0\.0\.1:(\d+)\n/)
    child.kill('SIGTERM')
    await untilSaid(/stopping: /)
    assert.deepEqual(await ask(Number(port), 1), [200])
    assert.equal(await ended, 0)
  })

  it('says only what is wrong if asked to, and logs only what failed if asked to', async () => {
    const { child, said, out, ended } = await start('--log-level', 'error', '--access-log', 'errors')
    await until('it runs', () => control.server.acknowledgements().some(({ hash }) => hash !== ''))
    child.kill('SIGTERM')
    assert.deepEqual([await ended, said(), out()], [0, '', ''])
  })
})
