import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../kit/clock.ts'
import { fakeClock } from '../kit/testing/fake-clock.ts'
import { openKeptState } from './kept.ts'

describe('what is kept', () => {
  let directory: string
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'waymark-kept-'))
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  it('is the last slice, also if one came while the one before was written, twice', async () => {
    const fake = fakeClock()
    const next = ['b', 'c']
    // What comes just when a write has begun.
    const clock: Clock = {
      ...fake,
      after: (ms, task) => fake.after(ms, () => {
        task()
        setImmediate(() => {
          const hash = next.shift()
          if (hash !== undefined) state.keepSlice({ hash, snapshot: new Map() })
        })
      }),
    }
    const state = await openKeptState({
      directory, identity: { trustDomain: 'mesh.example', namespace: 'shop', serviceAccount: 'till' }, subscriber: { kind: 'entry', namespace: 'shop' }, clock,
      onTrouble: (message) => assert.fail(message),
    })
    state.keepSlice({ hash: 'a', snapshot: new Map() })
    const written = (): Promise<string> => readFile(join(directory, 'configuration.json'), 'utf8').catch(() => '')
    for (let turn = 0; turn < 200 && !(await written()).includes('"hash":"c"'); turn++) {
      fake.advance(60_000)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    assert.match(await written(), /"hash":"c"/)
  })
})
