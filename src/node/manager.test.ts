import assert from 'node:assert/strict'
import { fakeClock, type FakeClock } from '../kit/testing/fake-clock.ts'
import { entryKey, type WorkloadEntry } from '../model/entries.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type { CredentialSource } from '../model/credentials.ts'
import { formatSpiffeId, type Identity } from '../model/identity.ts'
import { testMesh } from '../transport/testing/mesh.ts'
import type { HeldIdentity } from './identities.ts'
import { createManager, type Manager, type Sandbox } from './manager.ts'
import type { Damage } from './capture.ts'
import { NetworkError, type CapturableNetwork } from './network.ts'
import { loopbackPod, type LoopbackPod } from './testing/sockets.ts'
import { createPlane } from './traffic/plane.ts'

const trustDomain = 'cluster.local'
const workload = (name: string, more: Partial<WorkloadEntry> = {}): WorkloadEntry => ({
  kind: 'workload', namespace: 'shop', name, addresses: [], serviceAccount: name, identity: formatSpiffeId({ trustDomain, namespace: 'shop', serviceAccount: name }),
  enrolled: false, node: 'n1', uid: `uid-${name}`, capture: true, ...more,
})
const snapshotOf = (...entries: readonly WorkloadEntry[]): Snapshot => new Map(entries.map((each) => [entryKey(each), each]))
const sandbox = (name: string, path = `/run/netns/${name}`): Sandbox => ({ uid: `uid-${name}`, namespace: 'shop', name, path, addresses: ['10.0.0.1'] })

const reach = (...addresses: readonly string[]): string => `reach ${addresses.join()}`

describe('createManager', () => {
  let clock: FakeClock
  let manager: Manager
  let pods: Map<string, LoopbackPod>
  /** What was done in pods' namespaces, in order. */
  let done: string[]
  let reports: Readonly<Record<string, string>>[]
  let lines: string[]
  let held: string[]
  let refuse: ((sandbox: Sandbox) => Error | undefined)
  /** What is found damaged when it is next looked at, by pod; `node` for the node's own rules. */
  let damaged: Map<string, Damage>
  let freed: string[]
  let unsent: boolean
  let certify: () => void
  let certified: Promise<void>
  const mesh = testMesh(trustDomain)

  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
    clock.advance(30)
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
  const takeDamage = (name: string, kind: Damage): boolean => damaged.get(name) === kind && damaged.delete(name)
  const networkOf = (given: Sandbox): CapturableNetwork => {
    const problem = refuse(given)
    if (problem !== undefined) throw problem
    const pod = loopbackPod()
    pods.set(given.name, pod)
    const note = (what: string) => (): Promise<void> => {
      done.push(`${what} ${given.name}`)
      return Promise.resolve()
    }
    return {
      ...pod.network, addresses: () => [pod.address], capture: note('capture'), relax: note('relax'), release: note('release'),
      unsent: () => unsent,
      damaged: () => Promise.resolve(takeDamage(given.name, 'rules')),
      deaf: () => takeDamage(given.name, 'listeners'),
      bind: (port) => {
        done.push(`bind ${given.name}`)
        return pod.network.bind(port)
      },
    }
  }
  const hold = (identity: Identity): HeldIdentity => {
    held.push(`+${identity.serviceAccount}`)
    return { ready: certified.then((): CredentialSource => mesh.source(identity.serviceAccount, identity.namespace)), release: () => void held.push(`-${identity.serviceAccount}`) }
  }

  beforeEach(() => {
    clock = fakeClock(1_000)
    pods = new Map()
    ;[done, reports, lines, held] = [[], [], [], []]
    refuse = () => undefined
    damaged = new Map()
    freed = []
    unsent = false
    const gate = Promise.withResolvers<undefined>()
    certify = () => gate.resolve(undefined)
    certified = gate.promise.then(() => {})
    certify()
    manager = createManager({
      node: 'n1', clock, random: () => 0.5, plane: createPlane({ node: 'n1', clock, telemetry: { connectionDone: () => {} }, unknown: 'pass', originalDestination: () => undefined }),
      identities: { hold, updateBundle: () => {}, list: () => [], close: () => {} },
      open: networkOf,
      letNodeReach: (addresses) => {
        done.push(reach(...addresses))
        return Promise.resolve()
      },
      free: ({ name }) => {
        freed.push(name)
        return Promise.resolve()
      },
      nodeRulesDamaged: () => Promise.resolve(takeDamage('node', 'rules')),
      report: (captures) => void reports.push(captures), log: (line) => void lines.push(line),
    })
  })
  afterEach(() => manager.close())

  it('captures what runs here and shall be captured: listeners, then the way for probes, then rules; and says so', async () => {
    manager.see([sandbox('a'), sandbox('other')])
    manager.configure(snapshotOf(workload('a'), workload('b'), workload('other', { capture: false }), workload('far', { node: 'n2' })))
    await settle()
    assert.deepEqual(done, [reach('10.0.0.1'), 'bind a', 'bind a', 'bind a', reach('10.0.0.1'), 'capture a'])
    assert.deepEqual(reports.at(-1), { 'uid-a': '' })
    assert.deepEqual(held, ['+a'])
    assert.ok(manager.settled())
  })

  it('says that a pod is captured only when it has a certificate', async () => {
    const gate = Promise.withResolvers<undefined>()
    certified = gate.promise.then(() => {})
    manager.see([sandbox('a')])
    manager.configure(snapshotOf(workload('a')))
    await settle()
    assert.ok(!done.includes('bind a'), 'listeners without a certificate would refuse what an agent that is being replaced can carry')
    clock.advance(6_000)
    await settle()
    assert.ok(done.includes('capture a'))
    assert.match(reports.at(-1)?.['uid-a'] ?? '', /^it has no certificate yet/)
    assert.match(manager.pods()[0]?.problem ?? '', /^it has no certificate yet/)
    gate.resolve(undefined)
    await settle()
    assert.deepEqual(reports.at(-1), { 'uid-a': '' })
  })

  it('says why a pod can not be captured, tries again, and leaves the others alone', async () => {
    refuse = ({ name }) => (name === 'a' ? new NetworkError('EADDRINUSE', 'bind [::]:15008') : undefined)
    manager.see([sandbox('a'), sandbox('b')])
    manager.configure(snapshotOf(workload('a'), workload('b')))
    await settle()
    assert.match(reports.at(-1)?.['uid-a'] ?? '', /^port 15008 is taken in the pod: let the application use another/)
    assert.equal(reports.at(-1)?.['uid-b'], '')
    assert.equal(lines.length, 1)
    refuse = () => undefined
    clock.advance(60_000)
    await settle()
    assert.deepEqual(reports.at(-1), { 'uid-a': '', 'uid-b': '' })
  })

  it('lets a pod that leaves the mesh go slowly: rules last, and its key with it', async () => {
    manager.see([sandbox('a')])
    manager.configure(snapshotOf(workload('a')))
    await settle()
    done.length = 0
    manager.configure(snapshotOf(workload('a', { capture: false })))
    await settle()
    assert.deepEqual(done, [])
    assert.deepEqual(reports.at(-1), {})
    clock.advance(5_000)
    // Listeners stay for what was redirected and is not accepted yet, the table for the last bytes of what they took.
    for (const pause of [900, 1_000, 1_000]) {
      await settle()
      assert.deepEqual(done, ['relax a'])
      clock.advance(pause)
    }
    await settle()
    assert.deepEqual(done.slice(0, 2), ['relax a', 'release a'])
    assert.deepEqual(held, ['+a', '-a'])
    assert.deepEqual(manager.pods(), [])
    assert.throws(() => pods.get('a')?.network.bind(1), { code: 'EBADF' })
  })

  it('leaves what translates a connection in place until a slow reader has the rest of it, a minute at most', async () => {
    const leave = async (name: string, readsAfter: number): Promise<number> => {
      unsent = true
      manager.see([sandbox(name)])
      manager.configure(snapshotOf(workload(name)))
      await settle()
      done.length = 0
      manager.configure(snapshotOf(workload(name, { capture: false })))
      for (let second = 0; second < 90; second++) {
        await settle()
        if (done.includes(`release ${name}`)) return second
        if (second === readsAfter) unsent = false
        clock.advance(1_000)
      }
      return NaN
    }
    const soon = await leave('a', 20)
    assert.ok(soon >= 20 && soon <= 23, String(soon))
    const late = await leave('b', 1_000)
    assert.ok(late >= 60 && late <= 70, String(late))
  })

  it('puts rules back that somebody in a pod or on the node has changed, and begins anew where listeners are gone', async () => {
    manager.see([sandbox('a'), sandbox('b')])
    manager.configure(snapshotOf(workload('a'), workload('b')))
    await settle()
    done.length = 0
    const look = async (name: string, what: Damage): Promise<readonly string[]> => {
      damaged.set(name, what)
      clock.advance(1_000)
      await settle()
      clock.advance(5_000)
      await settle()
      return done.splice(0)
    }
    assert.deepEqual(await look('a', 'rules'), ['capture a'])
    assert.deepEqual(await look('node', 'rules'), [reach('10.0.0.1')])
    assert.deepEqual((await look('b', 'listeners')).filter((each) => !each.startsWith('reach')), ['bind b', 'bind b', 'bind b', 'capture b'])
    assert.deepEqual(manager.repairs(), { rules: 1, listeners: 1, node: 1 })
    assert.deepEqual(manager.pods().map(({ state }) => state), ['captured', 'captured'])
    assert.match(lines.join('; '), /pod shop\/a: somebody in it had changed the rules.*node's own rules.*pod shop\/b: somebody in it had changed the listeners/)
  })

  it('does not let itself be kept busy by a pod that takes its rules away again and again', async () => {
    manager.see([sandbox('a')])
    manager.configure(snapshotOf(workload('a')))
    await settle()
    for (let second = 0; second < 120; second++) {
      damaged.set('a', 'rules')
      clock.advance(1_000)
      await settle()
    }
    const { rules } = manager.repairs()
    assert.ok(rules >= 6 && rules <= 12, `${rules} repairs`)
  })

  it('switches off what an earlier agent may have left in pods that are not to be captured, once, and in no others', async () => {
    manager.see([sandbox('a'), sandbox('b'), sandbox('c')])
    manager.configure(snapshotOf(workload('a'), workload('b', { capture: false })))
    await settle()
    manager.configure(snapshotOf(workload('a', { capture: false }), workload('b', { capture: false })))
    await settle()
    assert.deepEqual(freed, ['b'])
  })

  it('tells what it knows of the pods that it captures, and whom it leaves alone', async () => {
    manager.see([sandbox('a'), sandbox('b'), sandbox('c')])
    manager.configure(snapshotOf(workload('a'), workload('b', { capture: false })))
    await settle()
    assert.deepEqual(manager.pods().map(({ name, state, identity, addresses, path, rules }) => ({ name, state, identity, addresses, path, rules })), [
      { name: 'a', state: 'captured', identity: 'spiffe://cluster.local/ns/shop/sa/a', addresses: ['10.0.0.1'], path: '/run/netns/a', rules: true },
    ])
    assert.deepEqual(manager.others().map(({ name, told }) => ({ name, told })), [{ name: 'b', told: true }, { name: 'c', told: false }])
  })

  it('keeps a pod that comes back in time', async () => {
    manager.see([sandbox('a')])
    manager.configure(snapshotOf(workload('a')))
    await settle()
    manager.configure(snapshotOf(workload('a', { capture: false })))
    clock.advance(1_000)
    manager.configure(snapshotOf(workload('a')))
    clock.advance(60_000)
    await settle()
    assert.ok(!done.some((each) => each.startsWith('re') && !each.startsWith('reach')), done.join())
    assert.deepEqual(reports.at(-1), { 'uid-a': '' })
  })

  it('keeps a pod whose object is gone captured, until its sandbox goes', async () => {
    manager.see([sandbox('a')])
    manager.configure(snapshotOf(workload('a')))
    await settle()
    manager.configure(snapshotOf())
    clock.advance(60_000)
    await settle()
    assert.ok(!done.includes('relax a'))
    assert.deepEqual(held, ['+a'])
    manager.see([])
    await settle()
    assert.deepEqual(held, ['+a', '-a'])
    assert.ok(!done.includes('release a'), 'the rules go with the namespace')
  })

  it('lets the node reach the addresses that node and API server know, also those that come later, and none that a pod gives itself', async () => {
    manager.configure(snapshotOf(workload('a')))
    manager.see([{ ...sandbox('a'), addresses: [] }])
    await settle()
    assert.equal(done.filter((each) => each.startsWith('reach')).at(-1), reach())
    manager.configure(snapshotOf(workload('a', { addresses: ['10.0.0.7'] })))
    await settle()
    assert.equal(done.at(-1), reach('10.0.0.7'))
    manager.see([{ ...sandbox('a'), addresses: ['10.0.0.7', 'fd00::7'] }])
    await settle()
    assert.equal(done.at(-1), reach('10.0.0.7', 'fd00::7'))
    const count = done.length
    manager.see([{ ...sandbox('a'), addresses: ['10.0.0.7', 'fd00::7'] }])
    manager.configure(snapshotOf(workload('a', { addresses: ['10.0.0.7'] })))
    await settle()
    assert.equal(done.length, count, 'what has not changed is not told again')
  })

  it('keeps the way for probes of a pod that can not be captured again: its rules may be an earlier agent\'s', async () => {
    refuse = ({ name }) => (name === 'a' ? new NetworkError('EADDRINUSE', 'bind [::]:15008') : undefined)
    manager.see([sandbox('a'), { ...sandbox('b'), addresses: ['10.0.0.2'] }])
    manager.configure(snapshotOf(workload('a'), workload('b')))
    await settle()
    assert.equal(done.filter((each) => each.startsWith('reach')).at(-1), reach('10.0.0.1', '10.0.0.2'))
  })

  it('captures a pod anew whose sandbox was made anew', async () => {
    manager.see([sandbox('a')])
    manager.configure(snapshotOf(workload('a')))
    await settle()
    manager.see([sandbox('a', '/run/netns/later')])
    await settle()
    assert.equal(done.filter((each) => each === 'capture a').length, 2)
  })

  describe('admits a pod that is about to start', () => {
    it('when it is captured', async () => {
      manager.configure(snapshotOf(workload('a')))
      const admitted = manager.admit(sandbox('a'), 8_000)
      await settle()
      assert.equal(await admitted, true)
    })

    it('at once if it is not of the mesh', async () => {
      manager.configure(snapshotOf(workload('a', { capture: false })))
      assert.equal(await manager.admit(sandbox('a'), 8_000), false)
      assert.deepEqual(done, [])
    })

    it('as soon as a controller has told of it', async () => {
      const admitted = manager.admit(sandbox('a'), 8_000)
      await settle()
      manager.configure(snapshotOf(workload('a')))
      await settle()
      assert.equal(await admitted, true)
    })

    it('never without a word about it', async () => {
      manager.configure(snapshotOf())
      const admitted = assert.rejects(manager.admit(sandbox('a'), 8_000), /no controller has said yet/)
      for (let second = 0; second < 10; second++) {
        clock.advance(1_000)
        await settle()
      }
      await admitted
    })

    it('without a certificate when its time is up: what it sends is refused then, not leaked', async () => {
      certified = new Promise(() => {})
      manager.configure(snapshotOf(workload('a')))
      const admitted = manager.admit(sandbox('a'), 8_000)
      for (let second = 0; second < 10; second++) {
        await settle()
        clock.advance(1_000)
      }
      assert.equal(await admitted, true)
      assert.match(reports.at(-1)?.['uid-a'] ?? '', /^it has no certificate yet/)
    })

    it('not if it can not be captured', async () => {
      refuse = () => new NetworkError('EPERM', 'setns')
      manager.configure(snapshotOf(workload('a')))
      const admitted = assert.rejects(manager.admit(sandbox('a'), 8_000), /SYS_ADMIN/)
      await settle()
      await admitted
    })
  })

  it('leaves the rules where they are when it ends', async () => {
    manager.see([sandbox('a')])
    manager.configure(snapshotOf(workload('a')))
    await settle()
    await manager.drain(1_000)
    assert.ok(!done.includes('relax a') && !done.includes('release a'))
    assert.ok(!lines.some((line) => line.includes('a')), lines.join())
  })
})
