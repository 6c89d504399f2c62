import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fakeClock } from '../src/kit/testing/fake-clock.ts'
import type { CaErrorCode } from './errors.ts'
import { CaError } from './errors.ts'
import { makeRoot } from './root.ts'
import type { Ca } from './server.ts'
import { createCa } from './server.ts'
import { directoryStore, storeFile } from './store.ts'

const trustDomain = 'cluster.local'
const clock = fakeClock(Date.UTC(2026, 0, 1))

const refused = (code: CaErrorCode) => (error: unknown): boolean => {
  assert.ok(error instanceof CaError, String(error))
  assert.equal(error.code, code, error.message)
  assert.ok(error.advice !== '')
  return true
}

describe('directoryStore', () => {
  let directory: string
  let path: string
  const open = (): Promise<Ca> => createCa({ store: directoryStore(directory), trustDomain, clock })

  beforeEach(async () => {
    directory = join(await mkdtemp(join(tmpdir(), 'waymark-ca-')), 'ca')
    path = join(directory, storeFile)
  })
  afterEach(() => rm(join(directory, '..'), { recursive: true }))

  it('keeps a root over restarts', async () => {
    const first = await open()
    assert.deepEqual((await open()).bundle(), first.bundle())
  })

  it('keeps every step of a rotation', async () => {
    for (const step of ['introduce', 'sign', 'retire'] as const) {
      const ca = await open()
      await ca.rotate(step, { force: true })
      const again = await open()
      assert.deepEqual([again.rotation(), again.bundle()], [ca.rotation(), ca.bundle()])
    }
  })

  it('forgets the key of a retired root', async () => {
    const ca = await open()
    const { authorities } = JSON.parse(await readFile(path, 'utf8')) as { authorities: { privateKeyPem: string }[] }
    for (const step of ['introduce', 'sign', 'retire'] as const) await ca.rotate(step, { force: true })
    const after = await readFile(path, 'utf8')
    assert.ok(!after.includes(JSON.stringify(authorities[0]?.privateKeyPem)))
  })

  it('lets nobody else read it, and leaves nothing beside it', async () => {
    await (await open()).rotate('introduce')
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.equal((await stat(directory)).mode & 0o777, 0o700)
    assert.deepEqual(await readdir(directory), [storeFile])
  })

  it('gives all of several processes that start at once the same root', async () => {
    const [first, ...others] = await Promise.all([open(), open(), open(), open()])
    for (const other of others) assert.deepEqual(other.bundle(), first.bundle())
  })

  it('starts in an empty directory, in a new volume, and where a former start was cut off before its root was in use', async () => {
    await mkdir(join(directory, 'lost+found'), { recursive: true })
    await writeFile(`${path}.01234567-89ab-cdef-0123-456789abcdef.tmp`, '{"form', { mode: 0o600 })
    assert.equal((await open()).bundle().length, 1)
  })

  describe('never makes a second root where', () => {
    const damages: Record<string, readonly [CaErrorCode, (text: string) => string]> = {
      'the file is empty': ['store-corrupt', () => ''],
      'the file is cut off': ['store-corrupt', (text) => text.slice(0, text.length / 2)],
      'the file is JSON of something else': ['store-corrupt', () => '[]'],
      'the file is null': ['store-corrupt', () => 'null'],
      'the format is another': ['store-corrupt', (text) => text.replace('waymark-ca/1', 'waymark-ca/2')],
      'the roots are missing': ['store-corrupt', (text) => edit(text, { authorities: [] })],
      'the key is missing': ['store-corrupt', (text) => text.replace('privateKeyPem', 'privateKey')],
      'the key is of another root': ['store-corrupt', (text) => text.replace(/"privateKeyPem": "[^"]+"/, `"privateKeyPem": ${JSON.stringify(makeRoot(trustDomain, { nowMs: clock.now() }).privateKeyPem)}`)],
      'the root is another': ['store-corrupt', (text) => replaceRoot(text)],
      'the rotation is missing': ['store-corrupt', (text) => edit(text, { rotation: undefined })],
      'the rotation lacks a root': ['store-corrupt', (text) => text.replace('"steady"', '"introduced"')],
    }
    for (const [name, [code, damage]] of Object.entries(damages)) {
      it(name, async () => {
        await open()
        const text = await readFile(path, 'utf8')
        const damaged = damage(text)
        assert.notEqual(damaged, text)
        await writeFile(path, damaged)
        await assert.rejects(open(), refused(code))
        assert.equal(await readFile(path, 'utf8'), damaged)
      })
    }

    it('the rotation contradicts itself', async () => {
      await (await open()).rotate('introduce')
      await writeFile(path, (await readFile(path, 'utf8')).replace('"introduced"', '"signing"'))
      await assert.rejects(open(), refused('store-corrupt'))
    })

    it('the file is gone and others are there', async () => {
      await open()
      await writeFile(join(directory, 'ca.json.bak'), await readFile(path))
      await rm(path)
      await assert.rejects(open(), refused('store-foreign'))
    })

    it('the file can not be read', async () => {
      await mkdir(path, { recursive: true, mode: 0o700 })
      await assert.rejects(open(), /EISDIR/)
    })

    it('others can read the file', async () => {
      await open()
      await chmod(path, 0o640)
      await assert.rejects(open(), refused('store-open'))
    })
  })
})

function edit(text: string, change: Record<string, unknown>): string {
  return JSON.stringify({ ...(JSON.parse(text) as Record<string, unknown>), ...change })
}

/** A whole root with its key, which is not the one that the rotation names. */
function replaceRoot(text: string): string {
  const { rootPem, intermediatesPem, privateKeyPem } = makeRoot(trustDomain, { nowMs: clock.now() })
  return edit(text, { authorities: [{ rootPem, intermediatesPem, privateKeyPem }] })
}
