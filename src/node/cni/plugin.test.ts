import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fakeClock } from '../../kit/testing/fake-clock.ts'
import type { FoundPod } from '../pods/result.ts'
import { pluginScript } from './install.ts'
import { openMailbox, parseRequest, type Mailbox, type MailboxOptions } from './mailbox.ts'

const previous = { cniVersion: '1.0.0', interfaces: [{ name: 'eth0', sandbox: '/var/run/netns/cni-1' }], ips: [{ address: '10.0.0.7/24' }], dns: { domain: 'a "{[ \\ ü' } }
const configuration = { cniVersion: '1.0.0', name: 'x', type: 'waymark-cni', other: { prevResult: { wrong: true }, text: '"prevResult":{' }, prevResult: previous }
const args = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u-1'

interface Ran {
  readonly code: number | null
  readonly out: unknown
  readonly text: string
}

describe('the plugin of CNI', () => {
  let root: string
  let directory: string
  let mailboxes: Mailbox[]
  let lines: string[]
  let admitted: FoundPod[]

  const run = async (environment: Readonly<Record<string, string>> = {}, { stdin = JSON.stringify(configuration), limit = '20' } = {}): Promise<Ran> => {
    const script = pluginScript(directory).replace('LIMIT=20', `LIMIT=${limit}`)
    const child = spawn('sh', ['-c', script], { env: { PATH: process.env['PATH'], CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'abc', CNI_NETNS: '/var/run/netns/cni-1', CNI_IFNAME: 'eth0', CNI_ARGS: args, ...environment }, stdio: ['pipe', 'pipe', 'inherit'] })
    child.stdin.on('error', () => {})
    child.stdin.end(stdin)
    let text = ''
    child.stdout.on('data', (data: Buffer) => (text += data.toString()))
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, text, out: text === '' ? undefined : (JSON.parse(text) as unknown) }
  }
  const open = (options: Partial<MailboxOptions> = {}): Mailbox => {
    const mailbox = openMailbox({
      directory,
      admit: (pod) => {
        admitted.push(pod)
        return Promise.resolve()
      },
      log: (line) => lines.push(line),
      ...options,
    })
    mailboxes.push(mailbox)
    return mailbox
  }
  const failed = ({ code, out }: Ran, message: RegExp): void => {
    assert.equal(code, 1)
    assert.match((out as { msg: string }).msg, message)
  }
  const nothingLeft = (): void => assert.deepEqual(['requests', 'answers'].flatMap((folder) => readdirSync(join(directory, folder))), [])

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'plugin-'))
    directory = join(root, 'mailbox')
    mailboxes = []
    lines = []
    admitted = []
  })
  afterEach(() => {
    for (const mailbox of mailboxes) mailbox.close()
    rmSync(root, { recursive: true })
  })

  it('passes on the result of those before it for pods that are not enrolled, agent or not', async () => {
    assert.deepEqual(await run().then(({ code, out }) => [code, out]), [0, previous])
    open().enrol(['other'])
    assert.deepEqual(await run().then(({ code, out }) => [code, out]), [0, previous])
    assert.deepEqual(await run({ CNI_ARGS: '' }).then(({ code, out }) => [code, out]), [0, previous])
    assert.deepEqual(admitted, [])
  })

  it('lets an enrolled pod start when the agent consents', async () => {
    open().enrol(['shop'])
    assert.deepEqual(await run().then(({ code, out }) => [code, out]), [0, previous])
    assert.deepEqual(admitted, [{ id: 'abc', uid: 'u-1', namespace: 'shop', name: 'cart-0', netns: 'cni-1', addresses: [] }])
    nothingLeft()
  })

  it('waits while the agent works, and passes on why it may not', async () => {
    const admission = Promise.withResolvers<undefined>()
    open({ admit: () => admission.promise }).enrol(['shop'])
    admission.promise.catch(() => {})
    const running = run()
    while (readdirSync(join(directory, 'requests')).length === 0) await new Promise((resolve) => setImmediate(resolve))
    admission.reject(new Error('port 15001 is "taken" \\\nin the pod – really'))
    failed(await running, /^waymark: port 15001 is "taken" \\ in the pod \?+ really$/)
    assert.match(lines[0] ?? '', /port 15001/)
    nothingLeft()
  })

  it('lets no enrolled pod start without an agent, also after its end, and leaves nothing behind', async () => {
    const mailbox = open()
    mailbox.enrol(['shop'])
    mailbox.close()
    failed(await run({}, { limit: '1' }), /did not answer in 1 seconds; pods of namespace shop/)
    nothingLeft()
    rmSync(join(directory, 'requests'), { recursive: true })
    failed(await run(), /is the node agent installed/)
  })

  it('lets a pod start again once its namespace has left', async () => {
    const mailbox = open()
    mailbox.enrol(['shop', 'other'])
    mailbox.enrol(['other'])
    mailbox.close()
    assert.equal((await run({}, { limit: '1' })).code, 0)
  })

  it('asks one of several agents', async () => {
    const answered: string[] = []
    const admit = (name: string) => (pod: FoundPod) => {
      answered.push(`${name} ${pod.id}`)
      return Promise.resolve()
    }
    open({ admit: admit('old') }).enrol(['shop'])
    open({ admit: admit('new') }).enrol(['shop'])
    const ids = ['a', 'b', 'c', 'd', 'e', 'f']
    const ran = await Promise.all(ids.map((id) => run({ CNI_CONTAINERID: id })))
    assert.deepEqual(ran.map(({ code }) => code), ids.map(() => 0))
    assert.deepEqual(answered.map((each) => each.split(' ')[1]).sort(), ids)
    nothingLeft()
  })

  it('is answered by an agent that begins while it waits', async () => {
    const first = open()
    first.enrol(['shop'])
    first.close()
    const running = run()
    while (readdirSync(join(directory, 'requests')).every((name) => name.startsWith('.'))) await new Promise((resolve) => setImmediate(resolve))
    open()
    assert.equal((await running).code, 0)
  })

  it('is not answered once it has waited too long, and what was left behind is swept away', async () => {
    const clock = fakeClock(Date.now())
    open({ clock }).enrol(['shop'])
    const request = join(directory, 'requests', 'dead')
    const leftovers = [join(directory, 'answers', 'dead'), join(directory, 'answers', '.draft'), join(directory, 'requests', '.x.taken.1')]
    mailboxes[0]?.close()
    for (const path of [request, ...leftovers]) {
      writeFileSync(path, `/run/netns/cni-1\n${args}\n`)
      utimesSync(path, new Date(clock.now() - 21_000), new Date(clock.now() - 21_000))
    }
    open({ clock })
    await new Promise((resolve) => setImmediate(resolve))
    nothingLeft()
    assert.deepEqual(admitted, [])
  })

  it('finds by looking what nobody reported', async () => {
    const clock = fakeClock(Date.now())
    const done = Promise.withResolvers<undefined>()
    const mailbox = open({ clock, admit: () => {
      done.resolve(undefined)
      return Promise.resolve()
    } })
    mailbox.enrol(['shop'])
    writeFileSync(join(directory, 'requests', '.late'), `/run/netns/cni-1\n${args}\n`)
    writeFileSync(join(directory, 'requests', 'late'), readFileSync(join(directory, 'requests', '.late')))
    clock.advance(2_000)
    await done.promise
  })

  it('answers what CNI asks besides, and refuses what makes no sense', async () => {
    for (const command of ['DEL', 'CHECK', 'GC', 'STATUS']) assert.deepEqual(await run({ CNI_COMMAND: command }).then(({ code, text }) => [code, text]), [0, ''])
    assert.ok(((await run({ CNI_COMMAND: 'VERSION' })).out as { supportedVersions: string[] }).supportedVersions.includes('1.0.0'))
    failed(await run({ CNI_COMMAND: 'NEW' }), /CNI_COMMAND/)
    open().enrol(['shop'])
    failed(await run({ CNI_ARGS: 'K8S_POD_NAMESPACE=../../etc' }), /K8S_POD_NAMESPACE/)
    failed(await run({ CNI_CONTAINERID: '../x' }), /CNI_CONTAINERID/)
    failed(await run({ CNI_CONTAINERID: '.x' }), /CNI_CONTAINERID/)
    failed(await run({ CNI_NETNS: '/proc/1/ns/net' }), /no network namespace/)
    failed(await run({}, { stdin: '{"cniVersion":"1.0.0","name":"x","type":"waymark-cni"}' }), /prevResult/)
    nothingLeft()
  })

  it('gives back any result as it is, in any form of the configuration', async () => {
    for (const stdin of [
      JSON.stringify(configuration, undefined, 4),
      `{"prevResult":${JSON.stringify(previous)},"type":"waymark-cni","prevResults":{}}`,
      `{"name":"prevResult","x":["prevResult",{"a":{}}],\t"prevResult"\n: ${JSON.stringify(previous)} ,"z":{"prevResult":{}}}`,
    ]) assert.deepEqual((await run({}, { stdin })).out, previous)
    const large = { ...previous, dns: { search: Array.from({ length: 500 }, (_, index) => `"name"\\${index}.{example}`) } }
    assert.deepEqual((await run({}, { stdin: JSON.stringify({ ...configuration, prevResult: large }) })).out, large)
  })

  it('keeps its folder from others', () => {
    open()
    for (const folder of ['requests', 'answers', 'namespaces']) assert.equal(statSync(join(directory, folder)).mode & 0o777, 0o700)
  })

  it('is asked by a request that says all that is needed', () => {
    assert.equal(parseRequest('i', ''), undefined)
    assert.equal(parseRequest('i', `/run/netns/a\n${args.replace('u-1', '')}\n`), undefined)
    assert.deepEqual(parseRequest('i', `/run/netns/a\n${args}\n`), { id: 'i', uid: 'u-1', namespace: 'shop', name: 'cart-0', netns: 'a', addresses: [] })
  })
})
