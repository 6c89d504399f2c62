import assert from 'node:assert/strict'
import type { Snapshot } from '../model/snapshot.ts'
import { service, snapshotOf, startControlPlane, until, type ControlPlane } from './testing/control.ts'

describe('joinMesh', () => {
  let plane: ControlPlane
  beforeEach(async () => {
    plane = await startControlPlane()
  })
  afterEach(() => plane.close())

  it('gets a certificate by a token and configuration by the certificate, and the controller knows what it runs', async () => {
    const { publisher, server } = await plane.start()
    publisher.publish(snapshotOf(service('shop', 'cart')))
    const seen: Snapshot[] = []
    const member = await plane.join({ onSnapshot: (snapshot) => seen.push(snapshot) })
    assert.deepEqual(seen, [snapshotOf(service('shop', 'cart'))])
    assert.equal(member.credentials.identity.serviceAccount, 'till')
    assert.equal(member.source(), 'controller')
    publisher.publish(snapshotOf(service('shop', 'cart', 81)))
    await until('the change is there', () => seen.length === 2)
    const hash = publisher.hash({ kind: 'entry', namespace: 'shop' })
    await until('it is acknowledged', () => server.acknowledgements()[0]?.hash === hash)
    assert.deepEqual(server.acknowledgements(), [{ kind: 'entry', namespace: 'shop', name: 'till', pod: 'till-1', hash }])
    assert.deepEqual(plane.troubles, [])
  })
})
