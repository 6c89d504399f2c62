import assert from 'node:assert/strict'
import type { StatusCondition } from '../../src/api/meta.ts'
import type { KubeObject } from '../../src/kube/object.ts'
import type { Snapshot } from '../../src/model/snapshot.ts'
import { eventually, startControlPlane, type ControlPlane, type Subscriber } from './testing/control-plane.ts'
import { editedRoute, hostileNamespace, hostileObjects, plainNamespace } from './testing/objects.ts'

const good = 'good'

const hasEdition = (edition: number) => (snapshot: Snapshot): boolean =>
  [...snapshot.values()].some((entry) =>
    entry.kind === 'routes' && entry.routes.rules.some((rule) => rule.kind === 'http' && rule.matches[0]?.path.value === `/edition-${edition}`))

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN

describe('a namespace of hostile objects', function () {
  this.timeout(180_000)
  let plane: ControlPlane
  let waypoint: Subscriber
  let edition = 0

  /** Milliseconds until the waypoint of the good namespace has an edit, several times. `meanwhile` runs just before each. */
  const propagation = async (times: number, meanwhile: (round: number) => void = () => {}): Promise<readonly number[]> => {
    const took: number[] = []
    for (let round = 0; round < times; round++) {
      meanwhile(round)
      edition++
      const startMs = performance.now()
      plane.server.put(editedRoute(good, edition))
      await waypoint.until(hasEdition(edition))
      took.push(performance.now() - startMs)
    }
    return took
  }
  const conditionsOf = ({ kind, metadata: { name } }: KubeObject): readonly StatusCondition[] => {
    const status = plane.server.get({ kind, namespace: hostileNamespace, name })?.['status'] as { parents?: { conditions: StatusCondition[] }[] } | undefined
    return status?.parents?.[0]?.conditions ?? []
  }

  before(async () => {
    plane = await startControlPlane()
    for (const object of [...plainNamespace(good), ...plainNamespace(hostileNamespace)]) plane.server.put(object)
    waypoint = await plane.subscribe(good)
    await waypoint.until(hasEdition(0))
  })
  after(() => plane.close())

  for (const { name, objects, condition, says } of hostileObjects) {
    it(`goes on serving another one: ${name}`, async () => {
      for (const object of objects) plane.server.put(object)
      await propagation(1)
      const [first] = objects
      if (condition === undefined || first === undefined) return
      const [type, status] = condition.split('=')
      await eventually(`${condition} of ${first.metadata.name}`, () => {
        const found = conditionsOf(first).find((each) => each.type === type)
        return found?.status === status && (says?.test(found?.message ?? '') ?? true) ? found : undefined
      })
    })
  }

  it('leaves names that objects inherit alone', () => {
    assert.equal(({} as { polluted?: unknown }).polluted, undefined)
  })

  it('does not slow another one down, even while all of it is edited all the time', async () => {
    const all = hostileObjects.flatMap(({ objects }) => objects)
    for (const { kind, metadata: { name } } of all) plane.server.delete({ kind, namespace: hostileNamespace, name })
    await propagation(3)
    const quiet = median(await propagation(15))
    for (const object of all) plane.server.put(object)
    await propagation(3)
    const disturbed = await propagation(15, (round) => {
      for (const { objects: [object] } of hostileObjects) {
        if (object !== undefined) plane.server.put({ ...object, metadata: { ...object.metadata, annotations: { ...object.metadata.annotations as object, round: String(round) } } })
      }
    })
    // The bound is far above what a busy machine needs: work that grows with what is hostile takes many seconds.
    assert.ok(median(disturbed) <= quiet * 5 + 1_500, `${median(disturbed).toFixed(0)} ms among hostile objects, ${quiet.toFixed(0)} ms without them`)
  })
})
