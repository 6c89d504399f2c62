import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server as HttpServer } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ask, routeManifest, serviceManifest, startBackend, until, waypointManifest } from '../control/testing/world.ts'
import { runInProcess } from './testing/command.ts'
import { startCommand, type CommandProcess } from './testing/process.ts'

const off = ['--admin-port', 'none', '--metrics-port', 'none', '--ready-port', 'none'] as const

describe('the command as a process', function () {
  this.timeout(60_000)
  let folder = ''
  let backend: HttpServer
  const started: CommandProcess[] = []
  const start = (...args: readonly string[]): CommandProcess => {
    const command = startCommand(...args)
    started.push(command)
    return command
  }
  const proxyOf = async (command: CommandProcess): Promise<{ host: string; port: number }> => {
    const [, port] = await command.untilSaid(/entry of \S+ on 127\.0\.0\.1:(\d+)\n[^]*ready: /)
    return { host: '127.0.0.1', port: Number(port) }
  }

  before(async () => {
    backend = await startBackend('v1')
  })
  after(() => {
    backend.close()
    backend.closeAllConnections()
  })
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'waymark-process-'))
    writeFileSync(join(folder, 'mesh.yaml'), waypointManifest('books') + serviceManifest('books', 'web', [backend]) + serviceManifest('books', 'empty', []))
  })
  afterEach(async () => {
    for (const command of started.splice(0)) {
      if (command.child.exitCode === null) command.child.kill('SIGKILL')
      await command.ended
    }
    rmSync(folder, { recursive: true })
  })

  it('keeps data and talk apart and hands the exit code on', async () => {
    const [version, check, wrong] = [start('version'), start('check', '-f', 'src/cli/testdata/broken'), start('chek')]
    assert.deepEqual([await version.ended, version.said()], [0, ''])
    assert.match(version.out(), /^waymark \d+\.\d+\.\d+ \(Node [\d.]+, Gateway API [\d.]+\)\n$/)
    assert.deepEqual([await check.ended, check.out()], [1, readFileSync('src/cli/testdata/golden/check.txt', 'utf8')])
    assert.match(check.said(), /^src\/cli\/testdata\/broken: 2 objects in force, 5 errors, 1 warning\n$/)
    assert.deepEqual([await wrong.ended, wrong.out()], [2, ''])
  })

  it('takes a reader that goes away for no error', async () => {
    // More than a pipe holds.
    const services = Array.from({ length: 800 }, (_, at) => `apiVersion: v1\nkind: Service\nmetadata: { name: s${at}, namespace: x }\nspec: { ports: [{ port: 80 }] }\n`)
    writeFileSync(join(folder, 'many.yaml'), services.join('---\n'))
    const command = start('translate', '-f', folder)
    command.child.stdout?.once('data', () => command.child.stdout?.destroy())
    assert.deepEqual([await command.ended, command.said()], [0, ''])
    assert.ok(command.out().length < 200_000)
  })

  it('runs a folder, follows its changes, and drains at a signal', async () => {
    const log = join(folder, 'access.log')
    const command = start('run', folder, '--as', 'books/app', '--admin-port', '0', '--metrics-port', 'none', '--ready-port', '0', '--access-log', log)
    const proxy = await proxyOf(command)
    const [, ready] = await command.untilSaid(/readiness on http:\/\/127\.0\.0\.1:(\d+)/)
    assert.equal((await fetch(`http://127.0.0.1:${ready ?? ''}/readyz`)).status, 200)
    assert.doesNotMatch(command.said(), /metrics on/)
    assert.equal((await ask(proxy, 'http://web/')).body, 'v1')
    writeFileSync(join(folder, 'route.yaml'), routeManifest('books', { namespace: 'books', name: 'web' }, { gone: 1 }))
    await until('the new route holds', async () => (await ask(proxy, 'http://web/')).status === 500)
    assert.match(command.said(), /HTTPRoute books\/web spec\.rules\[0\]: ResolvedRefs=False \(BackendNotFound\)/)
    command.child.kill('SIGTERM')
    assert.equal(await command.ended, 0)
    assert.equal(command.out(), '')
    const lines = readFileSync(log, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as { readonly status: number })
    assert.deepEqual([lines[0]?.status, lines.at(-1)?.status], [200, 500])
  })

  it('ends at once at a second signal, whatever is on its way', async () => {
    const stuck = createServer(() => {})
    stuck.listen(0, '127.0.0.1')
    await once(stuck, 'listening')
    try {
      writeFileSync(join(folder, 'stuck.yaml'), serviceManifest('books', 'stuck', [stuck]))
      const command = start('run', folder, '--no-watch', '--as', 'books/app', ...off)
      const proxy = await proxyOf(command)
      const asked = ask(proxy, 'http://stuck/').catch(() => undefined)
      await once(stuck, 'request')
      command.child.kill('SIGINT')
      await command.untilSaid(/stopping/)
      assert.equal(command.child.exitCode, null)
      command.child.kill('SIGINT')
      assert.equal(await command.ended, 130)
      await asked
    } finally {
      stuck.close()
      stuck.closeAllConnections()
    }
  })

  it('says in one line which port is in use, and by which option to choose another', async () => {
    const taken: Server = createTcpServer()
    taken.listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const port = String((taken.address() as AddressInfo).port)
    const commands = [
      start('run', folder, ...off.slice(0, 4), '--ready-port', port),
      start('run', folder, ...off, '--as', `books/app@${port}`),
    ]
    assert.deepEqual(await Promise.all(commands.map(({ ended }) => ended)), [1, 1])
    taken.close()
    assert.equal(commands[0]?.said(), `waymark run: can not start: port ${port} for readiness is in use; choose another with --ready-port\n`)
    const line = commands[1]?.said() ?? ''
    assert.match(line, /^waymark run: can not start: [^\n]* is in use; choose another with --as[^\n]*\n$/)
    assert.ok(line.includes(port))
  })

  it('enters the mesh of another process, and serves on while that one is away and when it is back', async () => {
    const socket = join(folder, 'control.sock')
    const runArgs = ['run', folder, '--no-watch', ...off, '--control-socket', socket, '--state', join(folder, 'state')] as const
    // Before there is a controller: it waits.
    const entry = start('connect', '--control-socket', socket, '--as', 'shop/till')
    await entry.untilSaid(/trying again/)
    const first = start(...runArgs)
    const proxy = await proxyOf(entry)
    assert.equal((await ask(proxy, 'http://web.books/')).body, 'v1')
    first.child.kill('SIGKILL')
    await first.ended
    await entry.untilSaid(/what is here serves on/)
    const without = await ask(proxy, 'http://web.books/')
    assert.deepEqual([without.status, without.headers['x-waypoint-reason']], [503, 'no-waypoint'])
    const second = start(...runArgs)
    await second.untilSaid(/ready: /)
    await until('it goes by the second controller', async () => (await ask(proxy, 'http://web.books/')).status === 200)
    entry.child.kill('SIGINT')
    assert.equal(await entry.ended, 0)
  })

  it('explains what then happens', async () => {
    writeFileSync(join(folder, 'route.yaml'), `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: web, namespace: books }
spec:
  parentRefs: [{ group: "", kind: Service, name: web }]
  rules:
    - matches: [{ path: { type: Exact, value: /old } }]
      filters: [{ type: RequestRedirect, requestRedirect: { hostname: new.example.com, path: { type: ReplaceFullPath, replaceFullPath: /new } } }]
    - matches: [{ path: { value: /gone } }]
      backendRefs: [{ name: gone, port: 80 }]
    - matches: [{ path: { value: /empty } }]
      backendRefs: [{ name: empty, port: 80 }]
    - matches: [{ path: { value: /none } }]
    - matches: [{ path: { value: /plugin } }]
      filters: [{ type: ExtensionRef, extensionRef: { group: x.io, kind: P, name: p } }]
      backendRefs: [{ name: web, port: 80 }]
    - matches: [{ path: { value: /headers } }]
      filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: x-a, value: b }] } }]
      backendRefs: [{ name: web, port: 80 }]
`)
    const command = start('run', folder, '--no-watch', '--as', 'shop/till', ...off)
    const proxy = await proxyOf(command)
    for (const [url, status] of [
      ['http://web.books/old?q=1', 302], ['http://web.books/gone', 500], ['http://web.books/empty/x', 503], ['http://web.books/none', 500], ['http://web.books/plugin', 500],
      ['http://web.books/elsewhere', 404], ['http://web.books/a%2fb', 400], ['http://empty.books/', 503], ['http://nobody.books/', 502], ['http://web.books:81/', 502],
    ] as const) {
      const { out } = await runInProcess('explain', '-f', folder, '--from', 'shop/till', '-o', 'json', url)
      const { answer } = JSON.parse(out) as { answer: { readonly status: number; readonly reason?: string; readonly headers?: Record<string, string> } }
      const got = await ask(proxy, url)
      assert.deepEqual([answer.status, answer.reason, answer.headers?.['location']], [got.status, got.headers['x-waypoint-reason'], got.headers.location], url)
      assert.equal(got.status, status, url)
    }
    const { out } = await runInProcess('explain', '-f', folder, '--from', 'shop/till', '-o', 'json', 'http://web.books/headers')
    const { answer, rule } = JSON.parse(out) as { answer?: object; rule: { readonly changes: readonly string[] } }
    assert.deepEqual([answer, rule.changes], [undefined, ['header x-a: b']])
    assert.equal((JSON.parse((await ask(proxy, 'http://web.books/headers')).body) as Record<string, string>)['x-a'], 'b')
  })
})
