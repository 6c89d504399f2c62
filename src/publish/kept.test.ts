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

  it('is kept in time also if the clock is set back', async () => {
    const timers = fakeClock(10_000_000)
    let behindMs = 0
    const state = await openKeptState({
      directory, identity: { trustDomain: 'mesh.example', namespace: 'shop', serviceAccount: 'till' }, subscriber: { kind: 'entry', namespace: 'shop' },
      clock: { ...timers, now: () => timers.now() - behindMs }, onTrouble: (message) => assert.fail(message),
    })
    const kept = async (hash: string): Promise<void> => {
      const written = (): Promise<string> => readFile(join(directory, 'configuration.json'), 'utf8').catch(() => '')
      // Half an hour at most, however long a write takes.
      for (let turn = 0; turn < 900 && !(await written()).includes(`"hash":"${hash}"`); turn++) {
        timers.advance(2_000)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      assert.ok((await written()).includes(`"hash":"${hash}"`), hash)
    }
    state.keepSlice({ hash: 'a', snapshot: new Map() })
    await kept('a')
    behindMs = 3_600_000
    state.keepSlice({ hash: 'b', snapshot: new Map() })
    await kept('b')
  })
})
