import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fakeClock } from '../../kit/testing/fake-clock.ts'
import { watchPods, type PodWatch, type PresentPod } from './watch.ts'

describe('the watch of pods', () => {
  let root: string
  let results: string
  let namespaces: string
  let watch: PodWatch
  let lines: string[]
  let seen: (readonly PresentPod[])[]
  let wake = (): void => {}
  const clock = fakeClock()

  const text = (name: string, netns = `cni-${name}`, uid = `uid-${name}`): string =>
    JSON.stringify({
      kind: 'cniCacheV1', containerId: `id-${netns}`, ifName: 'eth0', cniArgs: [['K8S_POD_NAMESPACE', 'shop'], ['K8S_POD_NAME', name], ['K8S_POD_UID', uid]],
      result: { interfaces: [{ name: 'eth0', sandbox: `/var/run/netns/${netns}` }], ips: [{ address: '10.0.0.1/24' }] },
    })
  const file = (name: string): string => join(results, `net-${name}-eth0`)
  const netns = (name: string): void => writeFileSync(join(namespaces, `cni-${name}`), '')
  const start = (): void => {
    watch = watchPods({
      results, namespaces, clock, log: (line) => lines.push(line),
      onChange: (pods) => {
        seen.push(pods)
        wake()
      },
    })
  }
  const names = (): readonly string[] => seen.at(-1)?.map(({ name }) => name) ?? []
  const until = async (expected: readonly string[]): Promise<void> => {
    while (JSON.stringify(names()) !== JSON.stringify(expected)) await new Promise<void>((resolve) => (wake = resolve))
  }

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'pods-'))
    results = join(root, 'cni/results')
    namespaces = join(root, 'netns')
    mkdirSync(results, { recursive: true })
    mkdirSync(namespaces)
    lines = []
    seen = []
  })
  afterEach(() => {
    watch.close()
    rmSync(root, { recursive: true })
  })

  it('tells what is there before it returns, also if it is nothing', () => {
    start()
    assert.deepEqual(seen, [[]])
    watch.close()
    netns('a')
    writeFileSync(file('a'), text('a'))
    start()
    assert.deepEqual(seen.at(-1), [{ id: 'id-cni-a', uid: 'uid-a', namespace: 'shop', name: 'a', netns: 'cni-a', addresses: ['10.0.0.1'], path: join(namespaces, 'cni-a') }])
  })

  it('sees a pod come and go', async () => {
    start()
    netns('a')
    writeFileSync(file('a'), text('a'))
    await until(['a'])
    rmSync(file('a'))
    await until([])
  })

  it('sees a pod whose file is written in pieces, and whose namespace comes later', async () => {
    start()
    const whole = text('a')
    writeFileSync(file('a'), '')
    appendFileSync(file('a'), whole.slice(0, 50))
    await new Promise((resolve) => setImmediate(resolve))
    appendFileSync(file('a'), whole.slice(50))
    netns('b')
    netns('a')
    await until(['a'])
    assert.deepEqual(lines, [])
  })

  it('sees a pod gone with its namespace, whatever its file says', async () => {
    netns('a')
    writeFileSync(file('a'), text('a'))
    start()
    rmSync(join(namespaces, 'cni-a'))
    await until([])
  })

  it('takes the newest sandbox of a pod that has two', () => {
    netns('old')
    netns('new')
    writeFileSync(file('1'), text('a', 'cni-new', 'u'))
    writeFileSync(file('2'), text('a', 'cni-old', 'u'))
    utimesSync(file('2'), 1, 1)
    start()
    assert.deepEqual(seen.at(-1)?.map((pod) => pod.netns), ['cni-new'])
  })

  it('waits for folders that are not there yet', async () => {
    rmSync(results, { recursive: true })
    rmSync(namespaces, { recursive: true })
    start()
    mkdirSync(namespaces)
    netns('a')
    mkdirSync(results)
    writeFileSync(file('a'), text('a'))
    await until(['a'])
  })

  it('finds by looking what nobody reported', () => {
    start()
    netns('a')
    writeFileSync(file('a'), text('a'))
    clock.advance(10_000)
    assert.deepEqual(names(), ['a'])
  })

  it('says once what it does not take for a pod', () => {
    writeFileSync(file('x'), '{"kind":"cniCacheV1","ifName":"eth0"}')
    start()
    watch.refresh()
    assert.deepEqual(lines, [`${file('x')} is not taken for a pod: it is of no pod`])
  })

  it('keeps a pod that was announced until its namespace goes, file or not', async () => {
    start()
    netns('a')
    const pod = { id: 'i', uid: 'uid-a', namespace: 'shop', name: 'a', netns: 'cni-a', addresses: [] }
    assert.equal(watch.announce(pod).path, join(namespaces, 'cni-a'))
    assert.deepEqual(names(), ['a'])
    netns('b')
    writeFileSync(file('b'), text('b'))
    await until(['a', 'b'])
    writeFileSync(file('a'), text('a'))
    rmSync(join(namespaces, 'cni-b'))
    await until(['a'])
    rmSync(join(namespaces, 'cni-a'))
    await until([])
  })

  it('tells nothing twice, and nothing after its end', () => {
    netns('a')
    writeFileSync(file('a'), text('a'))
    start()
    watch.refresh()
    clock.advance(60_000)
    assert.equal(seen.length, 1)
    watch.close()
    rmSync(file('a'))
    watch.refresh()
    clock.advance(60_000)
    assert.equal(seen.length, 1)
  })
})
