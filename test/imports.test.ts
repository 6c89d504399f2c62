import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

/** Which rooms a room may import from, besides itself. Tests and `testing/` folders may import anything. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  'src/kit': [],
  'src/model': ['src/kit'],
  'src/api': ['src/kit', 'src/model'],
  'src/transport': ['src/kit', 'src/model'],
  'src/telemetry': ['src/kit', 'src/model'],
  'src/translate': ['src/kit', 'src/model', 'src/api', 'src/policy'],
  'src/kube': ['src/kit', 'src/model', 'src/api'],
  'src/sources': ['src/kit', 'src/model', 'src/api', 'src/kube', 'crds'],
  'src/status': ['src/kit', 'src/model', 'src/api', 'src/kube'],
  'src/infra': ['src/kit', 'src/model', 'src/api', 'src/kube', 'src/sources'],
  'src/publish': ['src/kit', 'src/model', 'src/transport'],
  'src/connect': ['src/kit', 'src/model', 'src/transport', 'src/telemetry', 'src/publish'],
  'src/policy': ['src/kit', 'src/model'],
  'src/node': ['src/kit', 'src/model', 'src/policy', 'src/transport', 'src/telemetry', 'src/publish'],
  'ca': ['src/kit', 'src/model', 'src/telemetry'],
  'crds': ['src/kit', 'src/model', 'src/api'],
  'waypoint': ['src/kit', 'src/model', 'src/policy', 'src/transport', 'src/telemetry', 'src/publish'],
  'src/control': ['src/kit', 'src/model', 'src/api', 'src/kube', 'src/status', 'src/infra', 'src/transport', 'src/telemetry', 'src/translate', 'src/sources', 'src/publish', 'src/connect', 'src/policy', 'src/node', 'ca', 'crds', 'waypoint'],
  'src/cli': ['src/kit', 'src/model', 'src/api', 'src/kube', 'src/status', 'src/infra', 'src/transport', 'src/telemetry', 'src/translate', 'src/sources', 'src/publish', 'src/connect', 'src/policy', 'src/node', 'src/control', 'ca', 'crds', 'waypoint'],
}

/** Packages that only some rooms may import, because of their weight or their job. */
const guarded: Readonly<Record<string, readonly string[]>> = {
  '@kubernetes/client-node': ['src/kube'],
  'node-forge': ['ca', 'src/transport'],
  'http-proxy-3': ['src/connect', 'bench'],
  'prom-client': ['src/telemetry'],
  '@opentelemetry/': ['src/telemetry'],
  '@marcbachmann/cel-js': ['src/api'],
  'yaml': ['src/sources', 'src/cli', 'src/api', 'crds'],
  'commander': ['src/cli'],
  'koffi': ['src/node'],
  're2js': ['waypoint', 'src/translate', 'src/api', 'src/kit'],
}

const sources = globSync(['src/**/*.ts', 'waypoint/**/*.ts', 'ca/**/*.ts', 'crds/**/*.ts']).filter(
  (file) => !file.endsWith('.test.ts') && !file.includes('/testing/'),
)

const room = (file: string): string => {
  const parts = file.split('/')
  return parts[0] === 'src' ? `src/${parts[1] ?? ''}` : (parts[0] ?? '')
}

/** Specifiers of static and dynamic imports in `file`; type-only imports count too. */
const importsOf = (file: string): string[] =>
  [...readFileSync(file, 'utf8').matchAll(/^(?:import|export)[^'"]*?from '([^']+)'|\bimport\('([^']+)'\)|^import '([^']+)'/gm)].map(
    (found) => found[1] ?? found[2] ?? found[3] ?? '',
  )

describe('imports', () => {
  it('finds sources and knows every room', () => {
    assert.ok(sources.length > 20)
    for (const file of sources) assert.ok(room(file) in allowed, `${file}: room ${room(file)} is not in the table of this test`)
  })

  it('go one way between rooms', () => {
    const wrong: string[] = []
    for (const file of sources) {
      for (const specifier of importsOf(file).filter((each) => each.startsWith('.'))) {
        const target = room(normalize(join(dirname(file), specifier)))
        if (target !== room(file) && !(allowed[room(file)] ?? []).includes(target)) wrong.push(`${file} imports ${specifier}`)
      }
    }
    assert.deepEqual(wrong, [])
  })

  it('make no cycle between files', () => {
    const graph = new Map(
      sources.map((file) => [
        normalize(file),
        importsOf(file)
          .filter((each) => each.startsWith('.'))
          .map((each) => normalize(join(dirname(file), each))),
      ]),
    )
    const done = new Set<string>()
    const walk = (file: string, path: readonly string[]): void => {
      assert.ok(!path.includes(file), `cycle: ${[...path.slice(path.indexOf(file)), file].join(' → ')}`)
      if (done.has(file)) return
      for (const next of graph.get(file) ?? []) walk(next, [...path, file])
      done.add(file)
    }
    for (const file of graph.keys()) walk(file, [])
  })

  it('keep guarded packages where they belong', () => {
    const wrong: string[] = []
    for (const file of sources) {
      for (const specifier of importsOf(file)) {
        for (const [name, rooms] of Object.entries(guarded)) {
          if ((specifier === name || specifier.startsWith(`${name}/`) || (name.endsWith('/') && specifier.startsWith(name))) && !rooms.includes(room(file))) {
            wrong.push(`${file} imports ${specifier}`)
          }
        }
      }
    }
    assert.deepEqual(wrong, [])
  })

  it('keep system calls in src/node/native, and load them for the agent alone', () => {
    const wrong: string[] = []
    for (const file of sources) {
      for (const specifier of importsOf(file)) {
        const native = specifier === 'koffi' || (specifier.startsWith('.') && normalize(join(dirname(file), specifier)).startsWith('src/node/native/'))
        const allowed = specifier === 'koffi' ? ['src/node/native/'] : ['src/node/', 'src/control/agent', 'src/cli/agent']
        if (native && !allowed.some((start) => file.startsWith(start))) wrong.push(`${file} imports ${specifier}`)
      }
    }
    assert.deepEqual(wrong, [])
  })

  it('read the environment only in config.ts', () => {
    assert.deepEqual(
      sources.filter((file) => !file.endsWith('/config.ts') && readFileSync(file, 'utf8').includes('process.env')),
      [],
    )
  })

  it('keep every file under 400 lines', () => {
    assert.deepEqual(
      sources.filter((file) => readFileSync(file, 'utf8').split('\n').length > 400),
      [],
    )
  })
})
