import assert from 'node:assert/strict'
import { createReadiness } from './ready.ts'

describe('readiness', () => {
  it('is ready when nothing is registered', async () => {
    const readiness = createReadiness()
    assert.equal(readiness.isReady(), true)
    await readiness.whenReady()
  })

  it('names what is pending, in order, until all of it is ready', async () => {
    const readiness = createReadiness()
    const certificate = readiness.register('certificate', 'none was issued yet')
    const configuration = readiness.register('configuration', 'no snapshot yet')
    assert.deepEqual(readiness.pending(), [
      { name: 'certificate', why: 'none was issued yet' },
      { name: 'configuration', why: 'no snapshot yet' },
    ])
    let resolved = false
    const waiting = readiness.whenReady().then(() => void (resolved = true))
    certificate.ready()
    await Promise.resolve()
    assert.equal(resolved, false)
    configuration.ready()
    await waiting
    assert.deepEqual(readiness.pending(), [])
  })

  it('can become unready again, with a new reason', () => {
    const readiness = createReadiness()
    const handle = readiness.register('listener', 'not bound')
    handle.ready()
    handle.notReady('draining')
    assert.equal(readiness.isReady(), false)
    assert.deepEqual(readiness.pending(), [{ name: 'listener', why: 'draining' }])
  })

  it('gives the same thing for the same name, without making it pending again', () => {
    const readiness = createReadiness()
    readiness.register('certificate', 'first').ready()
    readiness.register('certificate', 'second')
    assert.equal(readiness.isReady(), true)
  })

  it('takes notes that do not stand in its way, and takes them back', async () => {
    const readiness = createReadiness()
    readiness.note('release', 'it is old')
    readiness.note('channel', 'it is narrow')
    assert.equal(readiness.isReady(), true)
    await readiness.whenReady()
    assert.deepEqual(readiness.notes(), [{ name: 'release', why: 'it is old' }, { name: 'channel', why: 'it is narrow' }])
    readiness.note('release', undefined)
    assert.deepEqual(readiness.notes().map(({ name }) => name), ['channel'])
    assert.deepEqual(readiness.pending(), [])
  })
})
