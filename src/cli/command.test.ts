import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runInProcess } from './testing/command.ts'

const mesh = ['-f', 'src/cli/testdata/mesh'] as const
const explain = ['explain', ...mesh, '--from', 'shop/till'] as const

describe('the command', () => {
  let folder = ''
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'waymark-cli-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return folder
  }

  describe('used wrongly', () => {
    const cases: readonly (readonly [what: string, args: readonly string[], line: RegExp])[] = [
      ['an unknown verb, with a suggestion', ['chek'], /unknown command 'chek'; did you mean check\?.*waymark --help/],
      ['an unknown verb of help', ['help', 'chek'], /unknown command 'chek'; did you mean check\?/],
      ['an unknown option, with a suggestion', ['check', ...mesh, '--outptu', 'json'], /unknown option '--outptu'; did you mean --output\?.*waymark check --help/],
      ['a missing option', ['explain', 'http://web/'], /required option '--from <who>' not specified/],
      ['a missing option of a pod\'s process', ['waypoint', '--namespace', 'shop', '--name', 'waypoint'], /^waymark waypoint: required option '--pod <name>' not specified/],
      ['an unknown verb below another, with a suggestion', ['ca', 'rotat'], /^waymark ca: unknown command 'rotat'; did you mean rotate\?; see `waymark ca --help`/],
      ['an unknown verb below one that is a process too', ['waypoint', 'aply'], /^waymark waypoint: unknown command 'aply'; did you mean apply\?; see/],
      ['an option of a verb below another', ['ca', 'rotate', '--to', 'x'], /^waymark ca rotate: .*'x' is invalid\. Write a whole number.*waymark ca rotate --help/],
      ['a folder and a cluster at once', ['check', ...mesh, '--context', 'x'], /'--context <name>' cannot be used with option '-f, --file <dir>'/],
      ['something that has no configuration', ['config-dump', 'deployment\/x'], /^waymark config-dump: deployment\/x is neither a pod nor gateway\/NAME, controller or controller\/POD/],
      ['an option without its value', ['check', '-f'], /'-f, --file <dir>' argument missing/],
      ['an argument too many', ['check', ...mesh, 'more'], /too many arguments/],
      ['a folder that does not exist', ['check', '-f', 'no/where'], /^waymark check: no\/where does not exist; give a folder/],
      ['a folder that does not exist, to run', ['run', 'no/where'], /^waymark run: no\/where does not exist/],
      ['no folder to run', ['run'], /missing required argument 'dir'/],
      ['an unknown format', ['check', ...mesh, '-o', 'xml'], /'xml' is invalid.*table, json, yaml/],
      ['a format of another verb', ['translate', ...mesh, '-o', 'table'], /'table' is invalid.*yaml, json/],
      ['an unknown shell', ['completion', 'csh'], /'csh' is invalid.*bash, zsh, fish/],
      ['no URL', [...explain], /missing required argument 'request'/],
      ['a URL without a scheme', [...explain, 'web:80/x'], /"web:80\/x" is not a URL; write http:.*perhaps http:\/\/web:80\/x/],
      ['a URL of an unknown scheme', [...explain, 'htp://web/'], /scheme htp is unknown, perhaps http;/],
      ['a URL without a host', [...explain, 'http:///x'], /"" is not HOST:PORT/],
      ['a URL with a bad port', [...explain, 'http://web:99999/'], /"web:99999" is not HOST:PORT/],
      ['a tcp URL without a port', [...explain, 'tcp://db'], /tcp:\/\/db needs a port/],
      ['a method that is none', [...explain, 'GE T', 'http://web/'], /"GE T" is not a method/],
      ['three words', [...explain, 'GET', 'http://web/a', 'b'], /write \[METHOD\] URL, not 3 words/],
      ['a header without a colon', [...explain, '-H', 'x-user', 'http://web/'], /'x-user' is invalid.*-H 'name: value'/],
      ['a header with a bad name', [...explain, '-H', 'x user: a', 'http://web/'], /-H 'name: value'/],
      ['a header that holds a line end', [...explain, '-H', 'x: a\r\ny: b', 'http://web/'], /-H 'name: value'/],
      ['a caller without a service account', ['explain', ...mesh, '--from', 'shop', 'http://web/'], /NAMESPACE\/SERVICE-ACCOUNT/],
      ['a caller with a part too many', ['explain', ...mesh, '--from', 'a/b/c', 'http://web/'], /NAMESPACE\/SERVICE-ACCOUNT/],
      ['an entry in upper case', ['run', '.', '--as', 'Shop/till'], /NAMESPACE\/SERVICE-ACCOUNT/],
      ['an entry with a bad port', ['run', '.', '--as', 'shop/till@http'], /port from 1 to 65535/],
      ['an entry with a port too large', ['connect', '--control-socket', 's', '--as', 'shop/till@65536'], /port from 1 to 65535/],
      ['a bad port', ['run', '.', '--admin-port', '-1'], /port from 1 to 65535, 0 for any free one, or none/],
      ['a bad trust domain', ['check', ...mesh, '--trust-domain', 'Spiffe://x'], /for example cluster\.local/],
      ['connect without an entry', ['connect', '--control-socket', 's'], /required option '--as/],
    ]
    for (const [what, args, line] of cases) {
      it(`by ${what} says so in one line and exits 2`, async () => {
        const { code, out, said } = await runInProcess(...args)
        assert.equal(said.length, 1, said.join('\n'))
        assert.match(said[0] ?? '', line)
        assert.doesNotMatch(said[0] ?? '', /\n|error: /)
        assert.deepEqual({ code, out }, { code: 2, out: '' })
      })
    }

    it('by a bad option of a verb below another says so for that verb, which has options of the same name', async () => {
      for (const [verb, option] of [['waypoint apply', '--name'], ['agent dump', '--node'], ['agent dump', '--namespace']] as const) {
        const { code, said } = await runInProcess(...verb.split(' '), option)
        assert.deepEqual([code, said.length], [2, 1])
        assert.ok(said[0]?.startsWith(`waymark ${verb}: option '${option} <name>' argument missing`), said[0])
      }
    })

    it('without a verb explains itself on stderr and exits 2', async () => {
      const { code, out, said } = await runInProcess()
      assert.deepEqual({ code, out }, { code: 2, out: '' })
      assert.match(said.join('\n'), /Usage: waymark/)
    })
  })

  it('explains itself and each verb on stdout, with the exit codes', async () => {
    const whole = await runInProcess('--help')
    assert.equal(whole.code, 0)
    for (const verb of ['check', 'translate', 'explain', 'run', 'connect', 'version', 'completion', 'help']) {
      assert.ok(whole.out.includes(`\n  ${verb} `))
      const byOption = await runInProcess(verb, '--help')
      assert.match(byOption.out, /Exit codes:\n {2}0 {2}[^]* {2}2 {2}wrong use/)
      assert.deepEqual(await runInProcess('help', verb), byOption)
      assert.deepEqual({ code: byOption.code, said: byOption.said }, { code: 0, said: [] })
    }
  })

  it('says its versions as data', async () => {
    const { version, node, gatewayApi } = JSON.parse((await runInProcess('version', '-o', 'json')).out) as Record<string, string>
    assert.deepEqual([version, node, gatewayApi], ['0.1.0', process.versions.node, '1.6.1'])
    assert.equal((await runInProcess('--version')).out, '0.1.0\n')
  })

  describe('check', () => {
    const service = 'apiVersion: v1\nkind: Service\nmetadata: { name: a, namespace: x }\nspec: { clusterIP: 10.0.0.1, ports: [{ port: 80 }] }\n'

    it('exits 0 and says so on stderr if nothing is wrong', async () => {
      assert.deepEqual(await runInProcess('check', '-f', write('a.yaml', service)), { code: 0, out: '', said: [`${folder}: 1 object in force, 0 errors, 0 warnings`] })
    })

    it('exits 0 with warnings only', async () => {
      const { code, out } = await runInProcess('check', '-f', write('a.yaml', service.replace('metadata: { ', 'metadata: { labels: { waymark.dev/waypoint: off }, ')))
      assert.match(out, /^[^\n]*a\.yaml:3:\d+: warning: Service x\/a metadata\.labels\["waymark\.dev\/waypoint"\]: [^\n]*; write "none" or remove the label\n$/)
      assert.equal(code, 0)
    })

    it('exits 1 with an error in a file', async () => {
      const { code, said } = await runInProcess('check', '-f', write('a.yaml', service.replace('port: 80', 'port: 0')))
      assert.deepEqual({ code, said }, { code: 1, said: [`${folder}: 0 objects in force, 1 error, 0 warnings`] })
    })

    it('exits 1 with an error that only the whole tells', async () => {
      const route = 'apiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\nmetadata: { name: r, namespace: x }\nspec:\n  parentRefs:\n    - { group: "", kind: Service, name: b }\n  rules: [{ backendRefs: [{ name: a, port: 80 }] }]\n'
      const { code, out } = await runInProcess('check', '-f', write('a.yaml', `${service}---\n${route}`))
      assert.match(out, /a\.yaml:11:7: error: TCPRoute x\/r spec\.parentRefs\[0\]: Accepted=False \(NoMatchingParent\): Service x\/b does not exist/)
      assert.equal(code, 1)
    })

    it('finds the place of a problem in a List, and in JSON', async () => {
      const list = { apiVersion: 'v1', kind: 'List', items: [{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', labels: { 'waymark.dev/mesh': 'off' } }, spec: { containers: [{ name: 'c', image: 'i' }] } }] }
      const { out } = await runInProcess('check', '-f', write('a.json', JSON.stringify(list, undefined, 2)), '-o', 'json')
      const { problems } = JSON.parse(out) as { problems: readonly { readonly line: number; readonly object: { readonly name: string } }[] }
      assert.deepEqual(problems.map(({ line, object }) => [object.name, line]), [['p', JSON.stringify(list, undefined, 2).split('\n').findIndex((each) => each.includes('waymark.dev/mesh')) + 1]])
    })

    it('exits 1 if the folder is there and can not be read', async () => {
      symlinkSync(join(folder, 'loop'), join(folder, 'loop'))
      const { code, said } = await runInProcess('check', '-f', join(folder, 'loop'))
      assert.equal(code, 1)
      assert.match(said.join('\n'), /^waymark check: .*can not be read: ELOOP; remove the link/)
    })

    it('takes a single file for a folder', async () => {
      write('a.yaml', service)
      assert.equal((await runInProcess('check', '-f', join(folder, 'a.yaml'))).code, 0)
    })
  })

  it('translates what is good, exits 0 and says how much is not', async () => {
    const { code, out, said } = await runInProcess('translate', '-f', 'src/cli/testdata/broken', '-o', 'json')
    assert.deepEqual(Object.keys(JSON.parse(out) as object), ['endpoints/shop/web', 'service/shop/web'])
    assert.deepEqual({ code, said }, { code: 0, said: ['3 errors in src/cli/testdata/broken: what is wrong is left out; see `waymark check -f src/cli/testdata/broken`'] })
  })

  it('translates the same objects to the same text, however they lie in files', async () => {
    const one = await runInProcess('translate', '-f', 'src/cli/testdata/mesh')
    const { readFileSync } = await import('node:fs')
    mkdirSync(join(folder, 'deep'))
    write('deep/z.yaml', ['routes.yaml', 'shop.yaml'].map((name) => readFileSync(`src/cli/testdata/mesh/${name}`, 'utf8')).join('---\n'))
    assert.equal((await runInProcess('translate', '-f', folder)).out, one.out)
    assert.ok(one.out.length > 1000)
  })
})
