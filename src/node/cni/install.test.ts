import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fakeClock } from '../../kit/testing/fake-clock.ts'
import { isChained } from './configuration.ts'
import { installPlugin, pluginScript, removePlugin, type PluginInstallation } from './install.ts'

describe('the installation of the plugin', () => {
  const list = '{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"ptp"}]}'
  let root: string
  let configurations: string
  let binaries: string
  let installation: PluginInstallation | undefined
  let lines: string[]
  let wake = (): void => {}
  const clock = fakeClock()
  const start = (): PluginInstallation => {
    installation = installPlugin({
      configurations, binaries, directoryOnNode: '/var/lib/waymark-cni', clock,
      log: (line) => {
        lines.push(line)
        wake()
      },
    })
    installation.want(true)
    return installation
  }
  const read = (name: string): string => readFileSync(join(configurations, name), 'utf8')
  const write = (name: string, text: string): void => {
    writeFileSync(join(root, name), text)
    renameSync(join(root, name), join(configurations, name))
  }

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'install-'))
    configurations = join(root, 'net.d')
    binaries = join(root, 'bin')
    mkdirSync(configurations)
    mkdirSync(binaries)
    lines = []
  })
  afterEach(() => {
    installation?.close()
    rmSync(root, { recursive: true })
  })

  it('puts file and entry in place, keeps the modes, and takes both out again to the byte', () => {
    writeFileSync(join(configurations, '10-x.conflist'), list, { mode: 0o600 })
    writeFileSync(join(configurations, '20-y.conflist'), list)
    assert.equal(start().installed(), true)
    assert.ok(isChained(read('10-x.conflist')))
    assert.equal(read('20-y.conflist'), list)
    assert.equal(statSync(join(configurations, '10-x.conflist')).mode & 0o777, 0o600)
    assert.equal(statSync(join(binaries, 'waymark-cni')).mode & 0o777, 0o755)
    assert.equal(readFileSync(join(binaries, 'waymark-cni'), 'utf8'), pluginScript('/var/lib/waymark-cni'))
    installation?.close()
    assert.ok(isChained(read('10-x.conflist')))
    removePlugin({ configurations, binaries })
    assert.equal(read('10-x.conflist'), list)
    assert.equal(statSync(join(configurations, '10-x.conflist')).mode & 0o777, 0o600)
    assert.deepEqual([...readdirSync(configurations), ...readdirSync(binaries)], ['10-x.conflist', '20-y.conflist'])
    removePlugin({ configurations, binaries })
  })

  it('is there while it is wanted, and the node is as it was otherwise', () => {
    writeFileSync(join(configurations, '10-x.conflist'), list)
    const one = start()
    one.want(false)
    assert.deepEqual([read('10-x.conflist'), readdirSync(binaries), one.installed(), one.problem()], [list, [], false, ''])
    write('10-x.conflist', list)
    clock.advance(60_000)
    assert.equal(read('10-x.conflist'), list)
    one.want(true)
    assert.ok(isChained(read('10-x.conflist')))
    assert.deepEqual(lines, ['the plugin of CNI is in place', 'the plugin of CNI is taken out: no namespace is in the mesh', 'the plugin of CNI is in place'])
  })

  it('leaves what an agent before has put in place, until it is known whether it is wanted', () => {
    writeFileSync(join(configurations, '10-x.conflist'), list)
    start().close()
    const next = installPlugin({ configurations, binaries, directoryOnNode: '/var/lib/waymark-cni', clock, log: () => {} })
    assert.ok(isChained(read('10-x.conflist')))
    next.want(false)
    assert.equal(read('10-x.conflist'), list)
    next.close()
  })

  it('waits for the network plugin\'s configuration', async () => {
    assert.equal(start().installed(), false)
    assert.match(installation?.problem() ?? '', /no network plugin has written/)
    const waiting = new Promise<void>((resolve) => (wake = resolve))
    write('10-x.conflist', list)
    await waiting
    assert.equal(installation?.installed(), true)
    assert.ok(isChained(read('10-x.conflist')))
  })

  it('adds the entry again when the configuration is written anew, and to another one that comes before it', async () => {
    write('10-x.conflist', list)
    start()
    write('10-x.conflist', list)
    while (!isChained(read('10-x.conflist'))) await new Promise((resolve) => setImmediate(resolve))
    write('05-y.conflist', list)
    while (!isChained(read('05-y.conflist'))) await new Promise((resolve) => setImmediate(resolve))
    removePlugin({ configurations, binaries })
    installation?.close()
    assert.deepEqual(['05-y.conflist', '10-x.conflist'].map(read), [list, list])
  })

  it('does not fight without measure against who takes the entry out', async () => {
    write('10-x.conflist', list)
    const made = start()
    const given = new Promise<void>((resolve) => {
      wake = () => {
        if (lines.at(-1)?.includes('again and again') === true) resolve()
      }
    })
    let over = false
    void given.then(() => (over = true))
    const isOver = (): boolean => over
    while (!isOver()) {
      if (isChained(read('10-x.conflist'))) write('10-x.conflist', list)
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.equal(read('10-x.conflist'), list)
    assert.equal(made.installed(), false)
    clock.advance(10_000)
    assert.equal(made.installed(), true)
  })

  it('says why a configuration can not be extended, and leaves it as it is', () => {
    write('10-x.conf', '{"type":"ptp"}')
    assert.match(start().problem(), /10-x\.conf: it is no list of plugins/)
    assert.equal(read('10-x.conf'), '{"type":"ptp"}')
    assert.equal(lines.length, 1)
  })

  it('says that a folder is not there', () => {
    rmSync(configurations, { recursive: true })
    assert.match(start().problem(), /ENOENT/)
    installation?.close()
    rmSync(binaries, { recursive: true })
    assert.match(start().problem(), /ENOENT/)
    removePlugin({ configurations, binaries })
  })

  it('runs no folder\'s name as a command', () => {
    for (const path of ['/a b', '/a;b', '/a$(b)', 'a', '/a\'', '']) assert.throws(() => pluginScript(path), TypeError)
  })
})
