import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { execFileSync } from 'node:child_process'
import type { LoadedFolder } from './folder.ts'
import { loadFolder } from './load.ts'
import { maxFileBytes } from './file.ts'

const namespace = (name: string, label = 'x'): string => `apiVersion: v1\nkind: Namespace\nmetadata: { name: ${name}, labels: { v: ${label} } }\n`

describe('loading a folder', () => {
  let dir = ''
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'waymark-load-'))
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))

  const put = (path: string, text: string | Buffer): void => {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), text)
  }
  const names = (loaded: LoadedFolder): string[] => [...loaded.resources.Namespace.values()].map((each) => each.metadata.name).sort()
  const said = (loaded: LoadedFolder): string[] => loaded.problems.map(({ severity, file, message }) => `${severity} ${file.slice(dir.length)}: ${message}`)

  it('reads .yaml, .yml and .json at any depth, and nothing else', async () => {
    put('a.yaml', namespace('a'))
    put('deep/er/b.yml', namespace('b'))
    put('c.json', JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'c' } }, undefined, '\t'))
    put('README.md', 'kind: Namespace')
    put('d.yaml.bak', namespace('d'))
    const loaded = await loadFolder(dir)
    assert.deepEqual(names(loaded), ['a', 'b', 'c'])
    assert.deepEqual(said(loaded), [])
    assert.equal(loaded.readable, true)
  })

  it('leaves hidden files and folders out', async () => {
    put('a.yaml', namespace('a'))
    put('.hidden.yaml', namespace('b'))
    put('.git/c.yaml', namespace('c'))
    assert.deepEqual(names(await loadFolder(dir)), ['a'])
  })

  it('reads a single file as well', async () => {
    put('a.yaml', namespace('a'))
    put('b.yaml', namespace('b'))
    assert.deepEqual(names(await loadFolder(join(dir, 'a.yaml'))), ['a'])
  })

  it('follows links to files and folders, once, and never in a circle', async () => {
    put('real/a.yaml', namespace('a'))
    put('top/x.yaml', namespace('x'))
    symlinkSync(join(dir, 'real'), join(dir, 'top', 'link'))
    symlinkSync('..', join(dir, 'top', 'circle'))
    symlinkSync('self', join(dir, 'top', 'self'))
    symlinkSync('x.yaml', join(dir, 'top', 'y.yaml'))
    symlinkSync('x.yaml', join(dir, 'top', 'a.yaml'))
    symlinkSync('../top/x.yaml', join(dir, 'real', 'twice.yaml'))
    symlinkSync(join(dir, 'real', 'a.yaml'), join(dir, 'top', '0.yaml'))
    const loaded = await loadFolder(join(dir, 'top'))
    assert.deepEqual(names(loaded), ['a', 'x'])
    assert.deepEqual(said(loaded), [])
  })

  it('names a link that leads nowhere', async () => {
    put('a.yaml', namespace('a'))
    symlinkSync('nowhere.yaml', join(dir, 'b.yaml'))
    const loaded = await loadFolder(dir)
    assert.deepEqual(names(loaded), ['a'])
    assert.deepEqual(said(loaded), ['error /b.yaml: the file can not be looked at: ENOENT'])
  })

  it('does not read what is no regular file: a pipe would hold it up for ever', async () => {
    put('a.yaml', namespace('a'))
    execFileSync('mkfifo', [join(dir, 'pipe.yaml')])
    const loaded = await loadFolder(dir)
    assert.deepEqual(names(loaded), ['a'])
    assert.deepEqual(said(loaded), ['warning /pipe.yaml: is not a regular file'])
  })

  it('says that the folder is missing', async () => {
    const loaded = await loadFolder(join(dir, 'none'))
    assert.equal(loaded.readable, false)
    assert.deepEqual(said(loaded), ['error /none: the folder can not be read: ENOENT'])
  })

  it('warns of a folder without manifests', async () => {
    const loaded = await loadFolder(dir)
    assert.deepEqual([loaded.readable, said(loaded)], [true, ['warning : holds no manifest']])
  })

  it('of two objects with one name keeps the one of the first file, and names both places', async () => {
    put('b.yaml', `---\n---\n${namespace('same', 'b')}`)
    put('a.yaml', namespace('same', 'a'))
    const loaded = await loadFolder(dir)
    assert.equal(loaded.resources.Namespace.get('/same')?.metadata.labels?.['v'], 'a')
    assert.equal(loaded.problems.length, 1)
    assert.match(loaded.problems[0]?.message ?? '', /is defined twice: here, at .*\/b\.yaml:3:1, and at .*\/a\.yaml:1:1, which is the one in force/)
  })

  it('refuses a file above the limit without reading it', async () => {
    put('big.yaml', Buffer.alloc(10 * 1024 * 1024, '# comment\n'))
    put('small.yaml', namespace('small'))
    const loaded = await loadFolder(dir)
    assert.deepEqual(names(loaded), ['small'])
    assert.deepEqual(said(loaded), [`error /big.yaml: the file has ${10 * 1024 * 1024} bytes; at most ${maxFileBytes} (4 MiB) are read`])
  })

  it('refuses what is not UTF-8', async () => {
    put('bin.yaml', Buffer.from([0x6b, 0x3a, 0x20, 0xff, 0xfe]))
    assert.deepEqual(said(await loadFolder(dir)), ['error /bin.yaml: the file is not UTF-8 text'])
  })

  it('takes a byte order mark and Windows line ends', async () => {
    put('a.yaml', `\ufeff${namespace('a').replaceAll('\n', '\r\n')}---\r\n${namespace('b').replaceAll('\n', '\r\n')}`)
    const loaded = await loadFolder(dir)
    assert.deepEqual([names(loaded), said(loaded)], [['a', 'b'], []])
  })

  it('says where JSON is broken', async () => {
    put('a.json', '{\n  "apiVersion": "v1",\n  "kind": }')
    const [problem] = (await loadFolder(dir)).problems
    assert.deepEqual([problem?.line, problem?.column, problem?.severity], [3, 11, 'error'])
    assert.equal(problem?.message, "is not JSON: Unexpected token '}'")
  })

  it('finds keys that stand twice, in JSON too', async () => {
    put('a.json', '{ "apiVersion": "v1", "kind": "Namespace", "kind": "Secret", "metadata": { "name": "a" } }')
    assert.deepEqual(said(await loadFolder(dir)), ['error /a.json: the key "kind" stands twice in one map'])
  })

  it('shows a hundred problems of a file, and how many more there are', async () => {
    put('a.yaml', Array.from({ length: 150 }, () => '7\n').join('---\n'))
    const { problems } = await loadFolder(dir)
    assert.equal(problems.length, 101)
    assert.ok(problems.some(({ message }) => message.startsWith('50 more problems')))
  })

  it('does not change any prototype', async () => {
    put('a.yaml', `${namespace('a')}__proto__: { polluted: 1 }\nconstructor: { prototype: { polluted: 1 } }\n`)
    const loaded = await loadFolder(dir)
    assert.deepEqual(said(loaded), ['error /a.yaml: unknown field "__proto__"', 'error /a.yaml: unknown field "constructor"'])
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined)
  })

  const hostile: readonly (readonly [string, () => string])[] = [
    ['lists nested four million deep', () => '['.repeat(4_000_000)],
    ['maps nested a hundred thousand deep', () => '{a: '.repeat(100_000)],
    ['block lists nested twenty thousand deep', () => '- '.repeat(20_000)],
    ['a map with a hundred thousand keys', () => Array.from({ length: 100_000 }, (_, at) => `k${at}: 1`).join('\n')],
    ['a hundred thousand aliases', () => `a: &a x\nb: [${'*a, '.repeat(100_000)}]`],
    ['an unclosed quote over two megabytes', () => `a: "${'x\n'.repeat(1_000_000)}`],
    ['a hundred thousand documents', () => '---\n'.repeat(100_000)],
    ['keys that are lists', () => '? [a, b]\n: 1\n'],
    ['merge keys that multiply', () => ['a0: &a0 { x: 1 }', ...Array.from({ length: 40 }, (_, at) => `a${at + 1}: &a${at + 1} { <<: [*a${at}, *a${at}] }`)].join('\n')],
  ]
  for (const [what, text] of hostile) {
    it(`survives ${what}, and says something`, async () => {
      put('bad.yaml', text())
      put('good.yaml', namespace('good'))
      const started = performance.now()
      const loaded = await loadFolder(dir)
      assert.ok(performance.now() - started < 15_000)
      assert.deepEqual(names(loaded), ['good'])
      if (!what.includes('documents')) assert.equal(loaded.problems[0]?.severity, 'error')
    })
  }

  it('says that a file can not be read', async () => {
    symlinkSync('/proc/self/mem', join(dir, 'a.yaml'))
    assert.deepEqual(said(await loadFolder(dir)), ['error /a.yaml: the file can not be read: EIO'])
  })
})
