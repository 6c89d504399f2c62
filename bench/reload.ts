import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { objectsOf, type ResourceSet } from '../src/api/resources.ts'
import { startStandalone } from '../src/control/standalone.ts'
import { systemClock } from '../src/kit/clock.ts'
import { createReadiness } from '../src/kit/ready.ts'
import { loadFolder } from '../src/sources/files/load.ts'
import { slice } from '../src/publish/slice.ts'
import { createTelemetry } from '../src/telemetry/create.ts'
import { createMetrics } from '../src/telemetry/metrics.ts'
import { translate } from '../src/translate/translate.ts'
import { compileConfig } from '../waypoint/config/compile.ts'
import type { RuntimeConfig } from '../waypoint/config/runtime.ts'
import { runScript } from './children.ts'
import { manyRoutes, measuredRoute, namespace, resourcesOf, withTimeout, type Shape } from './manifests.ts'
import { trustDomain } from './certificates.ts'

export interface ReloadOptions {
  readonly repeats: number
}

/** Milliseconds of each repetition, for one shape of the routes. */
export interface ReloadTimes {
  readonly shape: Shape
  /** All routes change, until the waypoint and an entry run them: translate, publish and compile. */
  readonly all: readonly number[]
  /** CPU time of the process meanwhile: what it would take on a machine with nothing else to do. */
  readonly allCpu: readonly number[]
  /** The same for an edit of one route. */
  readonly one: readonly number[]
  readonly oneCpu: readonly number[]
  /** Of all routes, alone: objects to snapshot; the waypoint's slice to matchers with nothing, and with all but one rule, known from before. */
  readonly translate: readonly number[]
  readonly compileAll: readonly number[]
  readonly compileOne: readonly number[]
}

/** What this script sends besides its first message. */
export interface ReloadResult {
  readonly shapes: readonly ReloadTimes[]
  /** One folder with all routes and Services, read from YAML and validated, milliseconds; once. */
  readonly loadMs: number
}

/** Objects in one file of the folder. */
const perFile = 1_000
const oneRoute = `${namespace}/route-${measuredRoute}`

async function timed(work: () => unknown, cpu: number[] = []): Promise<number> {
  const startMs = performance.now()
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  cpu.push((user + system) / 1000)
  return performance.now() - startMs
}

async function timesOf(shape: Shape, repeats: number): Promise<ReloadTimes> {
  const metrics = createMetrics(systemClock.now)
  const mesh = await startStandalone({
    trustDomain, host: '127.0.0.1', clock: systemClock, readiness: createReadiness(), log: () => {},
    entries: [{ namespace, serviceAccount: 'client', port: 0 }], telemetry: (waypoint) => createTelemetry(waypoint, { metrics }),
  })
  const times = { shape, all: [] as number[], allCpu: [] as number[], one: [] as number[], oneCpu: [] as number[], translate: [] as number[], compileAll: [] as number[], compileOne: [] as number[] }
  let resources = resourcesOf(shape, 9)
  await mesh.update({ resources, problems: [] })
  if (mesh.troubles().length > 0) throw new Error(`the benchmark's manifests are not right: ${mesh.troubles()[0] ?? ''}`)
  for (let repeat = 1; repeat <= repeats; repeat++) {
    resources = withTimeout(resources, `${repeat + 100}s`)
    const all = resources
    times.all.push(await timed(() => mesh.update({ resources: all, problems: [] }), times.allCpu))
    resources = withTimeout(resources, `${repeat + 200}s`, oneRoute)
    const edited = resources
    times.one.push(await timed(() => mesh.update({ resources: edited, problems: [] }), times.oneCpu))
  }
  await mesh.close(1_000)

  let config: RuntimeConfig | undefined
  for (let repeat = 1; repeat <= repeats; repeat++) {
    const all = withTimeout(resources, `${repeat + 300}s`)
    let translation = translate(all, { trustDomain })
    times.translate.push(await timed(() => { translation = translate(all, { trustDomain }) }))
    const before = slice(translation.snapshot, { kind: 'waypoint', namespace })
    times.compileAll.push(await timed(() => { config = compileConfig(before, namespace, config) }))
    const edited = slice(translate(withTimeout(all, '7s', oneRoute), { trustDomain }).snapshot, { kind: 'waypoint', namespace })
    // As they come from a publisher: what did not change is the same object.
    const after = new Map([...edited].map(([key, entry]) => [key, JSON.stringify(entry) === JSON.stringify(before.get(key)) ? (before.get(key) ?? entry) : entry]))
    times.compileOne.push(await timed(() => { config = compileConfig(after, namespace, config) }))
  }
  return times
}

/** Objects as one YAML document each would be read; JSON is YAML, and quicker to write here. */
async function loadTime(resources: ResourceSet): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'waymark-bench-'))
  try {
    const documents = [...objectsOf(resources)].map((object) => JSON.stringify(object))
    for (let at = 0; at < documents.length; at += perFile) writeFileSync(join(directory, `${at}.yaml`), documents.slice(at, at + perFile).join('\n---\n'))
    return await timed(async () => {
      const { resources: loaded, problems } = await loadFolder(directory)
      if (loaded.HTTPRoute.size !== manyRoutes) throw new Error(`${loaded.HTTPRoute.size} routes were read: ${problems[0]?.message ?? ''}`)
    })
  } finally {
    rmSync(directory, { recursive: true })
  }
}

runScript<ReloadOptions>(async ({ repeats }) => {
  const measure = async (): Promise<ReloadResult> => {
    const shapes: ReloadTimes[] = []
    for (const shape of ['one-service', 'many-services'] as const) shapes.push(await timesOf(shape, repeats))
    return { shapes, loadMs: await loadTime(resourcesOf('many-services', 9)) }
  }
  process.once('message', () => {
    measure().then(
      (result) => process.send?.(result),
      (error: unknown) => process.send?.({ failed: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    )
  })
  return Promise.resolve({ port: 0 })
})
