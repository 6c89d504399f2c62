import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fakeClock } from '../../kit/testing/fake-clock.ts'
import type { LoadedFolder } from './folder.ts'
import { loadFolder } from './load.ts'
import { watchFolder, type FolderWatch } from './watch.ts'

const namespace = (name: string, label = 'x'): string => `apiVersion: v1\nkind: Namespace\nmetadata: { name: ${name}, labels: { v: "${label}" } }\n`
const label = (loaded: LoadedFolder, name: string): string | undefined => loaded.resources.Namespace.get(`/${name}`)?.metadata.labels?.['v']
const said = (loaded: LoadedFolder): string[] => loaded.problems.map(({ message }) => message)

describe('watching a folder', () => {
  let dir = ''
  let watching: FolderWatch | undefined
  let reports: LoadedFolder[] = []
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'waymark-watch-'))
    reports = []
  })
  afterEach(() => {
    watching?.close()
    rmSync(dir, { recursive: true, force: true })
  })

  const put = (file: string, text: string): void => writeFileSync(join(dir, file), text)
  const last = (): LoadedFolder => reports.at(-1) ?? assert.fail('nothing was reported')
  /** Starts a watch whose clock stands still: it looks only when told to. */
  const start = async (): Promise<() => Promise<LoadedFolder>> => {
    const watch = watchFolder(dir, { clock: fakeClock(), onChange: (loaded) => reports.push(loaded) })
    watching = watch
    await watch.refresh()
    return async () => {
      await watch.refresh()
      return last()
    }
  }

  it('reports the first load, then only changes', async () => {
    put('a.yaml', namespace('a'))
    const look = await start()
    assert.equal(reports.length, 1)
    await look()
    put('a.yaml', namespace('a'))
    await look()
    put('a.yaml', `# a comment\n${namespace('a')}`)
    await look()
    assert.equal(reports.length, 1)
    put('a.yaml', namespace('a', 'y'))
    assert.equal(label(await look(), 'a'), 'y')
    assert.equal(reports.length, 2)
  })

  it('goes on from what was loaded before, and then reports no first load', async () => {
    put('a.yaml', namespace('a'))
    const from = await loadFolder(dir)
    watching = watchFolder(dir, { from, clock: fakeClock(), onChange: (loaded) => reports.push(loaded) })
    await watching.refresh()
    assert.equal(reports.length, 0)
    put('b.yaml', namespace('b'))
    await watching.refresh()
    assert.equal(last().resources.Namespace.get('/a'), from.resources.Namespace.get('/a'))
  })

  it('keeps the identity of all that did not change', async () => {
    put('a.yaml', `${namespace('a')}---\n${namespace('b')}---\napiVersion: v1\nkind: Node\nmetadata: { name: n }\n`)
    const look = await start()
    const before = last().resources
    put('a.yaml', `${namespace('a')}---\n${namespace('b', 'new')}---\napiVersion: v1\nkind: Node\nmetadata: { name: n }\n`)
    const after = (await look()).resources
    assert.equal(after.Namespace.get('/a'), before.Namespace.get('/a'))
    assert.notEqual(after.Namespace.get('/b'), before.Namespace.get('/b'))
    assert.equal(after.Node, before.Node)
    put('b.yaml', namespace('b', 'new'))
    put('a.yaml', namespace('a'))
    const moved = (await look()).resources
    assert.equal(moved.Namespace.get('/b'), after.Namespace.get('/b'), 'an object that moved to another file')
  })

  it('takes away what a good file holds no longer, and what was in a file that is gone', async () => {
    put('a.yaml', `${namespace('a')}---\n${namespace('b')}`)
    put('c.yaml', namespace('c'))
    const look = await start()
    put('a.yaml', namespace('b'))
    assert.deepEqual([...(await look()).resources.Namespace.keys()], ['/b', '/c'])
    rmSync(join(dir, 'c.yaml'))
    assert.deepEqual([...(await look()).resources.Namespace.keys()], ['/b'])
  })

  it('keeps the last good version of an object that becomes invalid, and only of that one', async () => {
    put('a.yaml', `${namespace('a')}---\n${namespace('b')}`)
    const look = await start()
    const good = last().resources.Namespace.get('/a')
    put('a.yaml', `${namespace('a').replace('labels', 'lables')}---\n${namespace('b', 'new')}`)
    const loaded = await look()
    assert.equal(loaded.resources.Namespace.get('/a'), good)
    assert.equal(label(loaded, 'b'), 'new')
    assert.deepEqual(said(loaded), ['unknown field "lables"; its last good version stays in force'])
    put('a.yaml', namespace('b', 'new'))
    assert.deepEqual([...(await look()).resources.Namespace.keys()], ['/b'], 'and it goes when its document does')
  })

  it('keeps every object of a file that a half-written one lacks', async () => {
    put('a.yaml', `${namespace('a')}---\n${namespace('b')}---\n${namespace('c')}`)
    const look = await start()
    put('a.yaml', `${namespace('a', 'new')}---\napiVersion: v1\nkind: Namespace\nmetadata: { name: b, lab`)
    const loaded = await look()
    assert.deepEqual([label(loaded, 'a'), label(loaded, 'b'), label(loaded, 'c')], ['new', 'x', 'x'])
    assert.match(said(loaded)[0] ?? '', /; its objects stay in force as they were$/)
    put('a.yaml', namespace('a', 'new'))
    assert.deepEqual([...(await look()).resources.Namespace.keys()], ['/a'])
    assert.deepEqual(said(last()), [])
  })

  it('keeps objects while one of the file can not be told which it is', async () => {
    put('a.yaml', namespace('a'))
    const look = await start()
    put('a.yaml', namespace('a').replace('name: a, ', ''))
    assert.equal(label(await look(), 'a'), 'x')
  })

  it('believes that a file became empty only at the second look', async () => {
    put('a.yaml', namespace('a'))
    const look = await start()
    put('a.yaml', '')
    assert.equal(label(await look(), 'a'), 'x')
    assert.equal((await look()).resources.Namespace.size, 0)
  })

  it('keeps what it has when a file grows too big, and when it can not be read', async () => {
    put('a.yaml', namespace('a'))
    const look = await start()
    put('a.yaml', '#'.repeat(5 * 1024 * 1024))
    assert.equal(label(await look(), 'a'), 'x')
    assert.match(said(last())[0] ?? '', /at most 4194304 \(4 MiB\) are read; its objects stay in force as they were$/)
    rmSync(join(dir, 'a.yaml'))
    symlinkSync('/proc/self/mem', join(dir, 'a.yaml'))
    assert.equal(label(await look(), 'a'), 'x')
    assert.match(said(last())[0] ?? '', /can not be read: EIO; its objects stay in force as they were$/)
  })

  it('keeps everything when the folder disappears, and finds it again', async () => {
    put('a.yaml', namespace('a'))
    const look = await start()
    renameSync(dir, `${dir}-away`)
    const gone = await look()
    assert.deepEqual([gone.readable, label(gone, 'a')], [false, 'x'])
    assert.deepEqual(said(gone), ['the folder can not be read: ENOENT; its objects stay in force as they were'])
    renameSync(`${dir}-away`, dir)
    put('a.yaml', namespace('a', 'back'))
    assert.equal(label(await look(), 'a'), 'back')
    assert.deepEqual([last().readable, said(last())], [true, []])
  })

  it('lets the next one of two objects with one name take over when the first goes', async () => {
    put('a.yaml', namespace('same', 'a'))
    put('b.yaml', namespace('same', 'b'))
    const look = await start()
    assert.equal(label(last(), 'same'), 'a')
    rmSync(join(dir, 'a.yaml'))
    assert.deepEqual([label(await look(), 'same'), said(last())], ['b', []])
  })

  /** The next report; a watch that misses what happened never gives one, and the test runs out of time. */
  const next = async (done: (loaded: LoadedFolder) => boolean): Promise<LoadedFolder> =>
    new Promise((resolve) => {
      watching = watchFolder(dir, {
        onChange: (loaded) => {
          reports.push(loaded)
          if (done(loaded)) resolve(loaded)
        },
        // The poll must not be what finds it.
        pollMs: 3_600_000,
      })
    })
  /** Keeps the process alive: a watch alone does not. */
  const alive = async <T>(work: Promise<T>): Promise<T> => {
    const timer = setInterval(() => {}, 1000)
    return work.finally(() => clearInterval(timer))
  }

  it('hears of changes, new files and new folders without being told', async () => {
    put('a.yaml', namespace('a'))
    const steps = [
      () => put('a.yaml', namespace('a', 'changed')),
      () => put('b.yaml', namespace('b')),
      () => {
        mkdirSync(join(dir, 'sub'))
        put('sub/c.yaml', namespace('c'))
      },
      () => put('sub/c.yaml', namespace('c', 'changed')),
      () => rmSync(join(dir, 'b.yaml')),
    ]
    const states = ['a=x', 'a=changed', 'a=changed b=x', 'a=changed b=x c=x', 'a=changed b=x c=changed', 'a=changed c=changed']
    const stateOf = (loaded: LoadedFolder): string => [...loaded.resources.Namespace.values()].map(({ metadata }) => `${metadata.name}=${metadata.labels?.['v'] ?? ''}`).join(' ')
    const seen: string[] = []
    await alive(
      next((loaded) => {
        const state = stateOf(loaded)
        if (state === states[seen.length]) {
          steps[seen.length]?.()
          seen.push(state)
        }
        return seen.length === states.length
      }),
    )
    assert.deepEqual(seen, states)
  })

  it('polls for what nobody reports: the target of a link', async () => {
    const other = mkdtempSync(join(tmpdir(), 'waymark-target-'))
    try {
      writeFileSync(join(other, 'a.yaml'), namespace('a'))
      symlinkSync(join(other, 'a.yaml'), join(dir, 'a.yaml'))
      await alive(
        new Promise<void>((resolve) => {
          watching = watchFolder(dir, {
            pollMs: 20,
            onChange: (loaded) => {
              if (label(loaded, 'a') === 'new') resolve()
              else writeFileSync(join(other, 'a.yaml'), namespace('a', 'new'))
            },
          })
        }),
      )
    } finally {
      rmSync(other, { recursive: true, force: true })
    }
  })

  it('says nothing any more once it is closed', async () => {
    put('a.yaml', namespace('a'))
    const look = await start()
    watching?.close()
    put('a.yaml', namespace('a', 'new'))
    await look()
    assert.equal(reports.length, 1)
  })
})
