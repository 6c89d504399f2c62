import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { defineProgram } from '../src/cli/definitions.ts'
import { plain } from '../src/cli/io.ts'
import { accessLogLine } from '../src/telemetry/access-log.ts'

const root = join(import.meta.dirname, '..')
const ignored = /^(?:node_modules|coverage|\.git)\//
const everyFile = globSync('**/*', { cwd: root, exclude: ['node_modules', 'coverage', 'build', '.git'] })
const files = globSync('**/*.md', { cwd: root, exclude: ['node_modules', 'coverage', 'build', '.git'] }).filter((file) => !ignored.test(file))
const read = (file: string): string => readFileSync(join(root, file), 'utf8')

/** What stands in code spans and code blocks of a page, one line each. */
function codeOf(text: string): readonly string[] {
  const blocks = [...text.matchAll(/^```[^\n]*\n([\s\S]*?)^```/gm)].flatMap((found) => (found[1] ?? '').split('\n'))
  const rest = text.replace(/^```[^\n]*\n[\s\S]*?^```/gm, '')
  return [...blocks, ...[...rest.matchAll(/`([^`\n]+)`/g)].map((found) => found[1] ?? '')]
}

/** Everything in all pages that `find` objects to, each with its page. */
function objections(find: (text: string, file: string) => readonly string[]): readonly string[] {
  return files.flatMap((file) => find(read(file), file).map((what) => `${file}: ${what}`))
}

/** The anchors that a page's headings get: lower case, punctuation dropped, spaces as dashes. */
function anchorsOf(file: string): ReadonlySet<string> {
  const headings = [...read(file).replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.*)$/gm)].map((found) => found[1] ?? '')
  return new Set(headings.map((each) => each.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-')))
}

describe('documentation', () => {
  it('has the pages that a stranger looks for', () => {
    for (const page of ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', 'docs/configuration.md', 'docs/telemetry.md']) {
      assert.ok(files.includes(page), page)
    }
  })

  it('links to what exists', () => {
    const links = (text: string): string[] => [...text.matchAll(/\]\(([^)\s]+)\)/g)].map((found) => found[1] ?? '')
    const broken = objections((text, file) =>
      links(text).filter((link) => {
        if (/^[a-z]+:/.test(link)) return false
        const [path = '', anchor] = link.split('#')
        const target = path === '' ? file : join(dirname(file), path)
        if (!existsSync(join(root, target))) return true
        return anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).has(anchor)
      }),
    )
    assert.deepEqual(broken, [])
  })

  it('names files that exist', () => {
    const known = new Set(everyFile.map((file) => basename(file)))
    const tops = new Set(everyFile.map((file) => file.split('/')[0] ?? ''))
    const missing = objections((text, file) =>
      codeOf(text)
        .flatMap((line) => line.split(/[\s'"(),;]+/))
        .filter((word) => /^[\w.@*-]+(?:\/[\w.@*-]+)*\/?$/.test(word))
        .filter((word) => {
          if (!word.includes('/')) return /^[\w-].*\.(?:ts|md|cjs)$/.test(word) && !known.has(word) && !word.includes('*')
          if (!tops.has(word.split('/')[0] ?? '') || !/[./*]/.test(word.slice(word.indexOf('/') + 1))) return false
          const places = [word, join(dirname(file), word)]
          return !places.some((place) => (place.includes('*') ? globSync(place, { cwd: root }).length > 0 : existsSync(join(root, place))))
        }),
    )
    assert.deepEqual(missing, [])
  })

  it('names npm scripts that exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { readonly scripts: Readonly<Record<string, string>> }
    const missing = objections((text) =>
      [...text.matchAll(/npm run (?:--silent |-s )*([\w:-]+)/g)].map((found) => found[1] ?? '').filter((name) => !Object.hasOwn(scripts, name)),
    )
    assert.deepEqual(missing, [])
    assert.ok('start' in scripts && 'test' in scripts)
  })

  it('names verbs and options that the command has', () => {
    const program = defineProgram({ io: { out: () => {}, say: () => {}, paint: plain }, onExit: () => {} })
    const verbs = new Map(program.commands.map((command) => [command.name(), command]))
    const wrong = objections((text) =>
      codeOf(text).flatMap((line) => {
        const found = /(?:\bwaymark (?:-- )?|src\/cli\/main\.ts )([a-z][a-z-]*)\b(?!\.)(.*)/.exec(line)
        if (found === null) return []
        const [, name = '', rest = ''] = found
        const verb = verbs.get(name)
        if (verb === undefined) return [`waymark ${name}`]
        // A verb below the verb has options of its own.
        const [, below = ''] = /^ ([a-z]+)\b/.exec(rest) ?? []
        const { options } = verb.commands.find((each) => each.name() === below) ?? verb
        const used = [...(rest.split(/[|&;#]/)[0] ?? '').matchAll(/(?:^|\s)(--?[a-zA-Z][\w-]*)/g)].map((each) => each[1] ?? '')
        return used.filter((flag) => !['-h', '--help'].includes(flag) && !options.some(({ short, long }) => flag === short || flag === long)).map((flag) => `waymark ${name} ${flag}`)
      }),
    )
    assert.deepEqual(wrong, [])
  })

  it('names every metric and no other', () => {
    const sources = everyFile.filter((file) => /^(?:src|waypoint)\/.*(?<!\.test)\.ts$/.test(file))
    const defined = new Set(sources.flatMap((file) => [...read(file).matchAll(/'(waymark_[a-z_]+)'/g)].map((found) => found[1] ?? '')))
    assert.ok(defined.size > 25)
    const wrong = objections((text) =>
      [...text.matchAll(/\bwaymark_[a-z_]+/g)].map(([name]) => name).filter((name) => !defined.has(name) && !defined.has(name.replace(/_(?:bucket|sum|count)$/, ''))),
    )
    assert.deepEqual(wrong, [])
    const page = read('docs/telemetry.md')
    assert.deepEqual([...defined].filter((name) => !page.includes(`\`${name}\``)), [])
  })

  it('names every field of the access log', () => {
    const line = accessLogLine('books/waypoint', {
      startMs: 0, protocol: 'grpc', method: 'POST', authority: 'a', path: '/', source: 's', service: 'reviews', namespace: 'books', port: 1, level: 'producer',
      rule: { routeKind: 'GRPCRoute', namespace: 'books', name: 'r', rule: 0 }, endpoint: 'e', tries: 1, status: 200, grpcStatus: 0, reason: 'no-route',
      detail: 'd', bytesIn: 0, bytesOut: 0, traceId: 't',
    }, 1)
    const page = read('docs/telemetry.md')
    assert.deepEqual(Object.keys(JSON.parse(line) as object).filter((field) => !page.includes(`\`${field}\``)), [])
  })

  it('names labels and conditions that the code knows', () => {
    const sources = everyFile.filter((file) => /^(?:src|waypoint|examples)\/.*\.(?:ts|yaml)$/.test(file)).map(read).join('\n')
    const wrong = objections((text) => [...text.matchAll(/\bwaymark\.dev\/[\w-]+/g)].map(([name]) => name).filter((name) => !sources.includes(name)))
    assert.deepEqual(wrong, [])
  })

  it('lists every decision in docs/adr/README.md', () => {
    const index = read('docs/adr/README.md')
    const adrs = files.filter((file) => /^docs\/adr\/\d{4}-/.test(file)).map((file) => basename(file))
    assert.ok(adrs.length > 0)
    assert.deepEqual(adrs.filter((name) => !index.includes(`(${name})`)), [])
  })

  it('names no folder of somebody\'s machine', () => {
    assert.deepEqual(objections((text) => [...text.matchAll(/(?<![\w.~:/-])\/(?:work|home|root|Users)(?:\/[\w.-]+)*/g)].map(([path]) => path)), [])
  })
})
