import assert from 'node:assert/strict'
import fc from 'fast-check'
import { systemClock } from '../../kit/clock.ts'
import { listWatch } from './list-watch.ts'
import { hangUp, startStub, status, type Stub } from './testing/stub.ts'
import { until } from './testing/until.ts'

const path = '/api/v1/things'

type Turn =
  | { readonly kind: 'put' | 'remove'; readonly name: string; readonly size: number }
  | { readonly kind: 'end' | 'cut' | 'compact' | 'bookmark' | 'nonsense' | 'again' | 'error-event' | 'refuse' | 'settle' }

const turn: fc.Arbitrary<Turn> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom('put', 'remove'), name: fc.constantFrom('a', 'b', 'c', 'd', 'e'), size: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('end', 'cut', 'compact', 'bookmark', 'nonsense', 'again', 'error-event', 'refuse', 'settle') }) },
)

describe('any sequence of changes and faults', function () {
  this.timeout(60_000)
  let stub: Stub
  beforeEach(async () => {
    stub = await startStub()
  })
  afterEach(() => stub.close())

  it('ends with what the server has, and what was reported adds up to it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(turn, { maxLength: 30 }), async (turns) => {
        const things = stub.serve(path)
        const reported = new Map<string, unknown>()
        const watch = listWatch({
          ...{ client: stub.client, clock: systemClock, random: () => 0, kind: 'Thing', apiVersion: 'v1', path },
          onChanges: (changes) => {
            for (const change of changes) {
              assert.equal(reported.get(change.key), change.previous, 'the previous object is the one reported last')
              if (change.kind === 'put') reported.set(change.key, change.object)
              else assert.ok(reported.delete(change.key), 'only what is there goes')
            }
          },
        })
        const versions = (objects: ReadonlyMap<string, { readonly metadata: { readonly resourceVersion?: string } }>): string =>
          JSON.stringify([...objects].map(([key, { metadata }]) => [key, metadata.resourceVersion]).sort())
        const settled = (): boolean => watch.problem() === undefined && things.watches() === 1 && versions(watch.objects) === versions(things.objects())
        try {
          for (const each of turns) {
            switch (each.kind) {
              case 'put':
                things.put(each.name, { size: each.size })
                break
              case 'remove':
                things.remove(each.name)
                break
              case 'nonsense':
                things.send('}{\n')
                break
              case 'again':
                // What an event says that was sent already.
                for (const object of things.objects().values()) things.send(`${JSON.stringify({ type: 'ADDED', object })}\n`)
                break
              case 'error-event':
                things.send(`${JSON.stringify({ type: 'ERROR', object: { code: 410 } })}\n`)
                break
              case 'refuse':
                things.onList.push(status(500, 'InternalError'))
                things.onWatch.push(hangUp)
                break
              case 'settle':
                await until('the same state', settled)
                break
              default:
                things[each.kind]()
            }
          }
          await until('the same state', settled)
          assert.deepEqual([...reported.keys()].sort(), [...things.objects().keys()].sort())
          assert.deepEqual([...reported].sort(), [...watch.objects].sort())
        } finally {
          watch.close()
        }
      }),
      { numRuns: 50 },
    )
  })
})
