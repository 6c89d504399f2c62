import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startApiServer, type ApiRequest, type ApiServer } from '../../test/simulated/api-server.ts'
import type { KubeObject } from '../kube/object.ts'
import { loadFolder } from '../sources/files/load.ts'
import { objectsOf } from '../api/resources.ts'
import { checkVerb, type CheckVerbOptions } from './check/verb.ts'
import type { Section } from './check/report.ts'
import { explain } from './explain.ts'
import { plain, type Io } from './io.ts'
import { status } from './status.ts'
import { tap } from './tap.ts'
import { clusterCases, clusterGoldenFolder, runCase } from './testing/cluster-cases.ts'
import { runInProcess } from './testing/command.ts'
import { startBare, startMesh, waitingClock, type SimulatedMesh } from './testing/mesh.ts'
import { translate } from './translate.ts'
import { waypointApply } from './waypoints.ts'

const namespace = 'waymark-system'

describe('what the command says of a cluster', () => {
  for (const each of clusterCases()) {
    it(`is ${each.file}`, async () => {
      assert.equal(await runCase(each), readFileSync(new URL(each.file, clusterGoldenFolder), 'utf8'), 'if that is meant: node src/cli/testing/cluster-goldens.ts, and read the difference')
    })
  }

  it('is said by no golden file that no case writes', () => {
    assert.deepEqual(readdirSync(clusterGoldenFolder).sort(), clusterCases().map(({ file }) => file).sort())
  })
})

describe('verbs that ask a cluster', () => {
  let mesh: SimulatedMesh
  let out = ''
  let said: string[] = []
  const io: Io = { out: (text) => (out += text), say: (line) => void said.push(line), paint: plain }
  const access = () => ({ client: mesh.server.client({ namespace: 'shop' }), podPorts: mesh.podPorts, clock: waitingClock() })
  const check = async (more: Partial<CheckVerbOptions> = {}): Promise<readonly Section[]> => {
    out = ''
    said = []
    await checkVerb({ pre: false, namespace, output: 'json', ...more }, io, access())
    return (JSON.parse(out) as { sections: readonly Section[] }).sections
  }
  beforeEach(() => {
    out = ''
    said = []
  })
  afterEach(() => mesh.server.close())

  it('say of whatever may not be read that it was not looked at, and never that it is fine', async function () {
    this.timeout(60_000)
    mesh = await startMesh()
    // Without their schemas, by far the longest of what is read here many times.
    for (const { metadata } of mesh.server.list('CustomResourceDefinition')) {
      mesh.edit('CustomResourceDefinition', undefined, metadata.name, { spec: { versions: [{ name: 'v1', served: true }] } })
    }
    for (const pre of [false, true]) {
      mesh.server.resetCounts()
      await check({ pre })
      const asked = [...mesh.server.counts().keys()].map((each) => each.split(' ') as [verb: string, path: string])
      // Discovery is asked for advice only: without it the first version is taken.
      const reads = asked.filter(([verb, path]) => /^(?:get|list)$/.test(verb) && !/^\/apis\/[^/]+\/[^/]+$/.test(path))
      assert.ok(reads.length > 10)
      for (const [verb, path] of reads) {
        const allow = mesh.server.forbid((request: ApiRequest) => request.verb === verb && request.path === path)
        const lines = (await check({ pre })).flatMap((section) => section.lines)
        assert.ok(lines.some(({ severity }) => severity !== 'ok'), `${verb} ${path} was forbidden and check ${pre ? '--pre ' : ''}says that all is well`)
        for (const line of lines) assert.equal(line.advice === undefined, line.severity === 'ok', `${line.message}: ${line.advice ?? 'no advice'}`)
        allow()
      }
    }
  })

  it('change nothing: check, status, list, explain, translate and dry runs write nowhere', async () => {
    mesh = await startMesh()
    const before = mesh.server.version()
    await check()
    await status({ namespace, output: 'table' }, io, access())
    await waypointApply('shop', { name: 'waypoint', enrollNamespace: true, dryRun: true, wait: false, timeout: 1 }, io, access())
    await explain(['http://cart/'], { from: { namespace: 'shop', serviceAccount: 'a' }, header: [], output: 'table' }, io, access())
    await translate({ output: 'yaml' }, io, access())
    assert.equal(mesh.server.version(), before)
    assert.deepEqual(mesh.server.writes(), [])
  })

  it('try a pod without making it in check --pre', async () => {
    mesh = await startBare()
    mesh.server.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
    await check({ pre: true })
    assert.deepEqual(mesh.server.writes().map(({ verb, resource, query }) => [verb, resource, query.get('dryRun')]), [['create', 'pods', 'All']])
  })

  it('look again until nothing is an error, with --wait', async () => {
    mesh = await startMesh()
    mesh.edit('Pod', 'shop', 'waypoint-1', { status: { conditions: [{ type: 'Ready', status: 'False' }] } })
    await mesh.settle()
    let looks = 0
    const verb = checkVerb({ pre: false, namespace, output: 'table', wait: 600 }, { ...io, say: (line) => {
      said.push(line)
      if (++looks !== 2) return
      mesh.edit('Pod', 'shop', 'waypoint-1', { status: { conditions: [{ type: 'Ready', status: 'True' }] } })
      void mesh.settle()
    } }, access())
    assert.equal(await verb, 0)
    assert.match(said[0] ?? '', /looking again until all is well$/)
    assert.equal(said.at(-1), 'all is well')
  })

  it('give up after --wait', async () => {
    mesh = await startBare()
    assert.equal(await checkVerb({ pre: false, namespace, output: 'table', wait: 5 }, io, access()), 1)
    assert.equal(said.at(-1), '1 error, 0 warnings')
  })

  it('look on until they are told to stop, or for as long as they were asked to, with tap', async () => {
    mesh = await startMesh()
    const stop = Promise.withResolvers<undefined>()
    const looking = tap('shop', { rate: 100, output: 'table' }, { ...io, say: (line) => {
      said.push(line)
      stop.resolve(undefined)
    } }, { ...access(), stopped: stop.promise })
    assert.equal(await looking, 0)
    assert.equal(await tap('shop', { rate: 100, output: 'table', for: 20 }, io, { ...access(), stopped: new Promise(() => {}) }), 0)
    assert.deepEqual(said, ['looking on at 2 processes; Ctrl-C ends it', 'looking on at 2 processes; Ctrl-C ends it'])
  })

  it('say applied once and then that it is there already', async () => {
    mesh = await startMesh()
    mesh.server.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'club', labels: { team: 'readers' } } })
    const options = { name: 'waypoint', enrollNamespace: true, dryRun: false, wait: false, timeout: 1 }
    assert.equal(await waypointApply('club', options, io, access()), 0)
    const version = mesh.server.version()
    assert.equal(await waypointApply('club', options, io, access()), 0)
    assert.deepEqual(said, ['labelled Namespace club waymark.dev/mesh=enabled', 'applied Gateway club/waypoint', 'Gateway club/waypoint is there already, as it should be'])
    assert.equal(mesh.server.version(), version)
    const { labels } = mesh.server.get({ kind: 'Namespace', name: 'club' })!.metadata
    assert.deepEqual([labels?.['team'], labels?.['waymark.dev/mesh']], ['readers', 'enabled'])
  })

  it('leave what others set in a Gateway when they apply it', async () => {
    mesh = await startMesh()
    mesh.edit('Gateway', 'shop', 'waypoint', { spec: { infrastructure: { parametersRef: { group: '', kind: 'ConfigMap', name: 'mine' } } }, metadata: { labels: { team: 'a' } } })
    await waypointApply('shop', { name: 'waypoint', enrollNamespace: false, dryRun: false, wait: false, timeout: 1 }, io, access())
    const gateway = mesh.server.get({ kind: 'Gateway', namespace: 'shop', name: 'waypoint' })!
    assert.equal(gateway.metadata.labels?.['team'], 'a')
    assert.deepEqual((gateway['spec'] as Record<string, unknown>)['infrastructure'], { parametersRef: { group: '', kind: 'ConfigMap', name: 'mine' } })
  })

  it('wait until a waypoint is programmed for the Gateway as it is now', async () => {
    mesh = await startMesh()
    let first = true
    const verb = waypointApply('shop', { name: 'waypoint', enrollNamespace: false, dryRun: false, wait: true, timeout: 600 }, { ...io, say: (line) => {
      said.push(line)
      if (line.startsWith('waiting: no controller') && first) {
        first = false
        void mesh.settle()
      }
    } }, access())
    // A change that no controller has seen: what the status says is about the former Gateway.
    mesh.edit('Gateway', 'shop', 'waypoint', { spec: { listeners: null } })
    assert.equal(await verb, 0)
    assert.deepEqual(said, ['applied Gateway shop/waypoint', 'waiting: no controller has looked at it yet', 'waypoint shop/waypoint is programmed'])
  })

  it('do not let what others wrote move the cursor', async () => {
    mesh = await startMesh()
    mesh.edit('Pod', 'shop', 'waypoint-1', { status: { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', message: '\u001b[2J\nall is well' }] } })
    await checkVerb({ pre: false, namespace, output: 'table' }, io, access())
    await status({ namespace, output: 'table' }, io, access())
    assert.ok(!(out + said.join('')).includes('\u001b'))
    assert.ok(!out.includes('\nall is well'))
  })

  it('say what is wrong with the choice of a cluster, in one line', async () => {
    mesh = await startBare()
    const folder = mkdtempSync(join(tmpdir(), 'waymark-kubeconfig-'))
    try {
      const file = (name: string, text: string): string => {
        writeFileSync(join(folder, name), text)
        return join(folder, name)
      }
      const good = file('good', mesh.server.kubeConfigText())
      const gone = file('gone', mesh.server.kubeConfigText().replaceAll(`:${mesh.server.port}`, ':1'))
      const broken = file('broken', 'clusters: [\n- {')
      const run = async (...args: string[]): Promise<string> => {
        const ran = await runInProcess('status', ...args)
        assert.equal(ran.code, 1)
        assert.equal(ran.said.length, 1, ran.said.join('\n'))
        return ran.said[0] ?? ''
      }
      assert.match(await run('--kubeconfig', join(folder, 'none')), /^waymark status: ENOENT.*; --kubeconfig or KUBECONFIG must name a file that is there$/)
      assert.match(await run('--kubeconfig', good, '--context', 'other'), /^waymark status: the kubeconfig has no context other; it has simulated$/)
      assert.match(await run('--kubeconfig', gone), /^waymark status: GET .*ECONNREFUSED.*; is the cluster up, and is it the right context\? See kubectl config get-contexts$/)
      assert.match(await run('--kubeconfig', broken), /^waymark status: the kubeconfig .*broken can not be read: /)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('explain and translate of a cluster', () => {
  const folder = 'src/cli/testdata/mesh'
  let server: ApiServer
  let out = ''
  const said: string[] = []
  const io: Io = { out: (text) => (out += text), say: (line) => void said.push(line), paint: plain }

  before(async () => {
    server = await startApiServer()
    for (const object of objectsOf((await loadFolder(folder)).resources)) server.put(object as unknown as KubeObject)
  })
  after(() => server.close())
  const ofFolder = async (...args: readonly string[]): Promise<string> => (await runInProcess(...args)).out

  it('show the same configuration and statuses as a folder with the same manifests', async () => {
    for (const output of ['yaml', 'json'] as const) {
      for (const statuses of [false, true]) {
        out = ''
        assert.equal(await translate({ output, statuses }, io, { client: server.client() }), 0)
        assert.equal(out, await ofFolder('translate', '-f', folder, '-o', output, ...(statuses ? ['--statuses'] : [])))
      }
    }
  })

  it('explain requests as a folder with the same manifests does', async () => {
    // A folder is explained as if its waypoints ran.
    for (const gateway of server.list('Gateway')) server.put({ ...gateway, status: { addresses: [{ type: 'IPAddress', value: '10.9.9.9' }] } })
    const requests: readonly (readonly string[])[] = [['http://web/old?x=1'], ['GET', 'http://web.shop.svc/api'], ['http://web:8080/'], ['tcp://db:5432'], ['http://10.0.0.1/']]
    for (const request of requests) {
      out = ''
      assert.equal(await explain(request, { from: { namespace: 'shop', serviceAccount: 'till' }, header: [], output: 'yaml' }, io, { client: server.client() }), 0)
      assert.equal(out, await ofFolder('explain', '-f', folder, '--from', 'shop/till', '-o', 'yaml', ...request))
    }
    assert.deepEqual(said, [])
  })
})
