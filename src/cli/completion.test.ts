import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { runInProcess } from './testing/command.ts'

/** What bash offers for the last word of each line, in one start of bash. */
async function offered(...lines: readonly (readonly string[])[]): Promise<readonly (readonly string[])[]> {
  const { out } = await runInProcess('completion', 'bash')
  const asks = lines.map((words) => `COMP_WORDS=(${words.map((each) => `'${each}'`).join(' ')}); COMP_CWORD=${words.length - 1}; COMPREPLY=(); _waymark; echo "\${COMPREPLY[*]}"`)
  const answer = execFileSync('bash', ['--norc', '-c', `${out}\n${asks.join('\n')}`], { encoding: 'utf8' })
  return answer.split('\n').slice(0, -1).map((line) => line.split(' ').filter((each) => each !== ''))
}

describe('completion', () => {
  it('offers verbs, their options, and the values of options in bash', async () => {
    const [verbs, one, options, formats, formatsAgain, shells, ofHelp, nothing] = await offered(
      ['waymark', ''], ['waymark', 'tra'], ['waymark', 'check', '--o'], ['waymark', 'check', '-o', ''], ['waymark', 'translate', '--output', 'j'],
      ['waymark', 'completion', ''], ['waymark', 'help', 'conn'], ['waymark', 'run', '--host', ''],
    )
    assert.deepEqual(verbs, ['check', 'translate', 'explain', 'status', 'config-dump', 'tap', 'run', 'connect', 'controller', 'waypoint', 'agent', 'install', 'uninstall', 'ca', 'version', 'completion', 'help'])
    assert.deepEqual(one, ['translate'])
    assert.deepEqual(options, ['--output'])
    assert.deepEqual(formats, ['table', 'json', 'yaml'])
    assert.deepEqual(formatsAgain, ['json'])
    assert.deepEqual(shells, ['bash', 'zsh', 'fish'])
    assert.deepEqual(ofHelp, ['connect'])
    assert.deepEqual(nothing, [])
  })

  it('offers files where a folder is wanted', async () => {
    const [files, argument] = await offered(['waymark', 'check', '-f', 'src/cli/testd'], ['waymark', 'run', 'src/cli/testd'])
    assert.deepEqual([files, argument], [['src/cli/testdata'], ['src/cli/testdata']])
  })

  it('names every verb and option in every shell', async () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      const { out } = await runInProcess('completion', shell)
      for (const word of ['explain', 'connect', 'control-socket', 'no-watch', 'trust-domain', 'json']) assert.ok(out.includes(word), `${shell} lacks ${word}`)
      // Descriptions hold quotes, which all of them must close; no script uses what only its own shell can parse.
      execFileSync('bash', ['-n', '-c', out], { stdio: 'pipe' })
    }
  })
})
