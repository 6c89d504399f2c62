import { join } from 'node:path'
import { messageOf } from '../src/kit/message.ts'
import { isChosen, parseSuiteArgs, usage, UsageError, type SuiteOptions } from './lib/args.ts'
import { needTools } from './lib/cluster.ts'
import { loadCases } from './lib/load.ts'
import { dismantle, folderOf, provision, type Provision } from './lib/provision.ts'
import { runCases } from './lib/runner.ts'
import { stopOnSignals } from './lib/stop.ts'

const say = (line: string): void => void process.stdout.write(`${line}\n`)

/** The suite from nothing to nothing: cluster, images, installation, cases, logs, deletion. @returns the exit code */
async function main(args: readonly string[]): Promise<number> {
  let options: SuiteOptions
  try {
    options = parseSuiteArgs(args)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    say(`${error.message}\n${usage}`)
    return 2
  }
  if (options.help) {
    say(usage)
    return 0
  }
  const cases = (await loadCases()).filter((one) => isChosen({ ...one, group: one.group ?? 'traffic' }, options.only))
  if (cases.length === 0) {
    say(`no case's name, group or feature contains ${options.only.join(' or ')}`)
    return 2
  }
  const { signal, release } = stopOnSignals(options.timeLimit, say)
  const { cluster, keep } = options
  const logs = join(folderOf(cluster), 'logs')
  let provided: Provision | undefined
  let passed = 0
  let begun = false
  try {
    await needTools(signal)
    begun = true
    // What would otherwise be changed before the first case.
    const svidLifetimeSeconds = cases.find(({ group }) => group === 'background')?.svidLifetimeSeconds
    provided = await provision({ ...options, svidLifetimeSeconds, signal, say })
    const { kube, installation } = provided
    const tally = await runCases(cases, { kube, installation, parallel: options.parallel, logs, signal, say })
    passed = tally.passed
    const left = cases.length - tally.passed - tally.failed
    if (left > 0) say(`${left} cases were not run to their end`)
    if (tally.failed > 0) say(`failed: ${tally.failures.join(', ')}`)
  } catch (error) {
    say(messageOf(error))
  } finally {
    provided?.kube.close()
    if (begun && !keep) await dismantle(cluster).catch((error: unknown) => say(messageOf(error)))
    release()
  }
  say(`${passed} passed, ${cases.length - passed} failed`)
  return passed === cases.length ? 0 : 1
}

process.exitCode = await main(process.argv.slice(2))
