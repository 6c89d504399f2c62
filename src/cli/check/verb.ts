import { systemClock } from '../../kit/clock.ts'
import type { KubeChoice } from '../../kube/config.ts'
import type { PodPorts } from '../../kube/port-forward.ts'
import { openPodPorts, withCluster, type ClusterAccess } from '../cluster.ts'
import { exitCodes, type Io } from '../io.ts'
import { toJson } from '../json.ts'
import { defaultTrustDomain } from '../live.ts'
import { pause } from '../rollout.ts'
import { countLines, formatSections, type Section } from './report.ts'

export interface CheckVerbOptions extends KubeChoice {
  /** A folder; undefined: the cluster. */
  readonly file?: string | undefined
  /** Whether the mesh can be installed, not how it is. */
  readonly pre: boolean
  /** Where the installation is, or is to be. */
  readonly namespace: string
  readonly output: 'table' | 'json' | 'yaml'
  readonly trustDomain?: string | undefined
  /** Seconds in which errors may go away. */
  readonly wait?: number | undefined
}

export interface CheckAccess extends ClusterAccess {
  readonly podPorts?: PodPorts
}

/** Milliseconds between two looks of `--wait`. */
const againMs = 2_000

/** `waymark check`: what is wrong, with a folder or with a cluster, and what to do about it. */
export async function checkVerb(options: CheckVerbOptions, io: Io, access: CheckAccess = {}): Promise<number> {
  const { file, output, trustDomain = defaultTrustDomain } = options
  if (file !== undefined) return (await import('./folder.ts')).checkFolder({ file, output, trustDomain }, io)
  return withCluster(options, access, io, 'check', async (client) => {
    const clock = access.clock ?? systemClock
    const { namespace } = options
    const { checkPre } = await import('./pre.ts')
    const { checkInstallation } = await import('./installation.ts')
    const podPorts = access.podPorts ?? (await openPodPorts(options))
    const look = (): Promise<readonly Section[]> =>
      options.pre ? checkPre(client, namespace) : checkInstallation({ client, podPorts, namespace, trustDomain: options.trustDomain, clock })
    const endMs = clock.now() + (options.wait ?? 0) * 1000
    let sections = await look()
    while (countLines(sections).errors > 0 && clock.now() + againMs < endMs) {
      io.say(`${summary(sections)}; looking again until all is well`)
      await pause(clock, againMs)
      sections = await look()
    }
    if (output === 'table') io.out(formatSections(sections, io))
    else io.out((output === 'json' ? toJson : (await import('../yaml.ts')).toYaml)({ sections, ...countLines(sections) }))
    io.say(summary(sections))
    return countLines(sections).errors === 0 ? exitCodes.fine : exitCodes.failed
  })
}

function summary(sections: readonly Section[]): string {
  const { errors, warnings } = countLines(sections)
  const plural = (number: number, word: string): string => `${number} ${word}${number === 1 ? '' : 's'}`
  return errors + warnings === 0 ? 'all is well' : `${plural(errors, 'error')}, ${plural(warnings, 'warning')}`
}
