import assert from 'node:assert/strict'
import { startApiServer, type ApiServer } from '../../test/simulated/api-server.ts'
import { systemClock } from '../kit/clock.ts'
import type { KubeObject } from '../kube/object.ts'
import { gatewayNameLabel, managedBy, managedByLabel } from '../model/install.ts'
import { watchMade, type Made } from './watches.ts'

const deployment: KubeObject = {
  apiVersion: 'apps/v1', kind: 'Deployment',
  metadata: { name: 'waypoint', namespace: 'books', labels: { [managedByLabel]: managedBy, [gatewayNameLabel]: 'waypoint' } },
  spec: { replicas: 1, selector: {}, template: {} },
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1_000; tries++) {
    if (holds()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  assert.fail(`waited ten seconds in vain: ${what}`)
}

describe('watchMade', () => {
  let server: ApiServer
  let made: Made
  let changed: (string | undefined)[]
  beforeEach(async () => {
    server = await startApiServer()
    changed = []
    made = watchMade({ client: server.client(), clock: systemClock, random: () => 0.5, onChange: (gateway) => void changed.push(gateway) })
    await until('the lists', made.synced)
  })
  afterEach(async () => {
    made.close()
    await server.close()
  })

  it('is not taken in by the answer to a write that comes after the object was deleted, and says so', async () => {
    const stored = server.put(deployment)
    await until('it is seen', () => made.get('Deployment', 'books/waypoint') !== undefined)
    server.delete({ kind: 'Deployment', namespace: 'books', name: 'waypoint' })
    await until('its end is seen', () => made.get('Deployment', 'books/waypoint') === undefined)
    changed.length = 0
    made.wrote({ ...stored, metadata: { ...stored.metadata, resourceVersion: '999999' } })
    assert.equal(made.get('Deployment', 'books/waypoint'), undefined)
    assert.deepEqual(changed, ['books/waypoint'])
  })

  it('takes what a write was answered with until the watch tells it', async () => {
    const stored = server.put(deployment)
    await until('it is seen', () => made.get('Deployment', 'books/waypoint') !== undefined)
    made.wrote({ ...stored, spec: { replicas: 2 }, metadata: { ...stored.metadata, resourceVersion: '999999' } })
    assert.deepEqual(made.get('Deployment', 'books/waypoint')?.['spec'], { replicas: 2 })
  })
})
