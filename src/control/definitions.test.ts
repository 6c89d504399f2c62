import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { startApiServer, type ApiServer } from '../../test/simulated/api-server.ts'
import { gatewayApiVersion, ownPlurals } from '../../crds/load.ts'
import type { Channel } from '../api/schema.ts'
import { gatewayApiDefinitions } from '../cli/installation.ts'
import type { Clock } from '../kit/clock.ts'
import { fakeClock, type FakeClock } from '../kit/testing/fake-clock.ts'
import { createReadiness, type Readiness } from '../kit/ready.ts'
import type { KubeObject } from '../kube/object.ts'
import { permissions } from '../model/rbac.ts'
import { definitionNames } from '../sources/kube/definitions.ts'
import { until } from '../sources/kube/testing/until.ts'
import { watchDefinitions, type DefinitionsWatch } from './definitions.ts'
import { runController } from './run-controller.ts'

const bundleVersion = 'gateway.networking.k8s.io/bundle-version'

describe('the CRDs of a cluster', function () {
  this.timeout(60_000)
  const bundles = new Map<Channel, readonly KubeObject[]>()
  before(() => {
    for (const channel of ['standard', 'experimental'] as const) bundles.set(channel, gatewayApiDefinitions(channel))
  })
  let server: ApiServer
  let time: FakeClock
  /** Looks that are over: each names the next one. */
  let looks: number[]
  let readiness: Readiness
  let log: string[]
  let watch: DefinitionsWatch | undefined
  beforeEach(async () => {
    server = await startApiServer()
    time = fakeClock()
    looks = []
    readiness = createReadiness()
    log = []
  })
  afterEach(async () => {
    watch?.close()
    watch = undefined
    await server.close()
  })

  const install = (channel: Channel, edit: (object: KubeObject) => KubeObject = (object) => object): void => {
    for (const each of bundles.get(channel) ?? []) server.put(edit(each))
  }
  const annotated = (object: KubeObject, version: string): KubeObject => ({ ...object, metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, [bundleVersion]: version } } })
  const looked = (times: number): Promise<void> => until('the look', () => looks.length >= times)
  const follow = (): DefinitionsWatch => {
    const after: Clock['after'] = (delayMs, task) => {
      if (delayMs >= 30_000) looks.push(delayMs)
      return time.after(delayMs, task)
    }
    return (watch = watchDefinitions({ client: server.client(), clock: { now: time.now, after }, readiness, log: (line) => log.push(line) }))
  }
  const start = async (): Promise<DefinitionsWatch> => {
    const started = follow()
    await looked(1)
    return started
  }
  const notes = (): readonly string[] => readiness.notes().map(({ name, why }) => `${name}: ${why}`)

  it('are not talked about if they are of the release and have every field', async () => {
    install('experimental')
    for (const plural of ownPlurals) server.put(parse(readFileSync(`crds/waymark/${plural}.yaml`, 'utf8')) as KubeObject)
    const { problems } = await start()
    assert.deepEqual([notes(), log, problems()], [[], [], []])
  })

  it('of the standard channel make a note of each field that it drops; the mesh is ready all the same', async () => {
    install('standard')
    const { problems } = await start()
    assert.equal(readiness.isReady(), true)
    assert.equal(notes().length, 1)
    assert.match(notes()[0] ?? '', /^CRDs\/channel: the standard channel .*HTTPRoute spec\.rules\[\]\.retry \(retries\).*; nothing to do if you use none of them/)
    assert.deepEqual(log, problems())
  })

  it('of another release are named once, and once more when that is mended', async () => {
    install('experimental', (object) => annotated(object, 'v1.2.1'))
    const { problems } = await start()
    assert.ok(log[0]?.startsWith(`Gateway API v1.2.1 is older than ${gatewayApiVersion}`), log[0])
    assert.match(notes()[0] ?? '', /^CRDs\/release: /)
    time.advance(300_000)
    await looked(2)
    assert.equal(log.length, 1)
    install('experimental')
    time.advance(300_000)
    await looked(3)
    assert.deepEqual([notes(), problems()], [[], []])
    assert.equal(log.length, 2)
    assert.match(log[1] ?? '', /^resolved: Gateway API v1\.2\.1/)
  })

  it('are looked at again soon after a kind came or went, once for all that come together', async () => {
    const { again } = await start()
    assert.deepEqual(log, [])
    install('experimental', (object) => annotated(object, 'v1.99.0'))
    for (let at = 0; at < 7; at++) again()
    time.advance(5_000)
    await looked(2)
    assert.match(log.join('\n'), /^Gateway API v1\.99\.0 is newer/)
    assert.equal(looks.length, 2)
  })

  it('of our own kinds are named if they are older than this program', async () => {
    for (const plural of ownPlurals) {
      const text = readFileSync(`crds/waymark/${plural}.yaml`, 'utf8')
      server.put(parse(plural === 'authorizationpolicies' ? text.replace(/^( +)selector:/m, '$1chooser:') : text) as KubeObject)
    }
    await start()
    assert.match(notes()[0] ?? '', /^CRDs\/own: the mesh's own CRDs are older .*\(AuthorizationPolicy spec\.selector\); update them: /)
  })

  it('that may not be read make one note, and nothing else', async () => {
    install('standard')
    server.forbid(({ resource }) => resource === 'customresourcedefinitions')
    const { problems } = await start()
    assert.equal(notes().length, 1)
    assert.match(notes()[0] ?? '', /^CRDs: whether .* not known: the controller may not read them; install again/)
    assert.deepEqual([log, problems()], [[], []])
  })

  it('stay judged as they were seen last while the API server does not answer, which is asked again soon', async () => {
    install('standard')
    await start()
    const end = server.fault({ on: () => true, status: 503 })
    time.advance(300_000)
    await looked(2)
    end()
    assert.equal(notes().length, 1)
    install('experimental')
    time.advance(30_000)
    await looked(3)
    assert.deepEqual(looks, [300_000, 30_000, 300_000])
    assert.deepEqual(notes(), [])
  })

  it('are the only ones that the controller may read', () => {
    const names = permissions.filter(({ group }) => group === 'apiextensions.k8s.io').flatMap((each) => each.names ?? ['any'])
    assert.deepEqual([...names].sort(), Object.values(definitionNames).flat().sort())
  })

  it('are told of on the controller\'s readiness page, which says ready', async () => {
    install('standard')
    const running = await runController({
      kubeConfig: () => server.kubeConfig(), pod: 'controller-0',
      installation: { namespace: 'waymark-system', image: 'waymark:test', imagePullPolicy: 'Never', imagePullSecrets: [], trustDomain: 'cluster.local', accessLog: 'none' },
      svidLifetimeMs: 3_600_000, host: '127.0.0.1', controlPort: 0, readyPort: 0, stopped: new Promise(() => {}), log: (line) => log.push(line),
    })
    assert.ok(running !== undefined)
    try {
      await until('what it says', () => running.troubles().some((line) => line.startsWith('the standard channel')))
      const port = /readiness on \S+:(\d+)/.exec(running.summary().join('\n'))?.[1] ?? ''
      let page = { status: 0, body: '' }
      for (let tries = 0; tries < 300 && page.status !== 200; tries++) {
        const answer = await fetch(`http://127.0.0.1:${port}/readyz`)
        page = { status: answer.status, body: await answer.text() }
        if (page.status !== 200) await new Promise((resolve) => setTimeout(resolve, 20))
      }
      assert.equal(page.status, 200)
      assert.match(page.body, /^ready\nnote: CRDs\/channel: the standard channel .* drops fields/)
    } finally {
      await running.close()
    }
  })
})
