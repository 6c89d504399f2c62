import { exitCodes, type Io } from './io.ts'
import { explainProbe } from './explain/explain.ts'
import { formatExplanation } from './explain/format.ts'
import { explainFromPod, type PodWorld } from './explain/pod.ts'
import { parseProbe } from './explain/probe.ts'
import { withCluster, type ClusterAccess } from './cluster.ts'
import { defaultTrustDomain, readWholeLive, sayUnread, translateLive, type SourceOptions } from './live.ts'
import { readFolder, sayIncomplete, translateRunning } from './load.ts'
import { toJson } from './json.ts'
import { argsOf, readDaemonSet } from './mesh/agents.ts'
import { toYaml } from './yaml.ts'
import type { PodRef, WorkloadName } from './usage.ts'

export interface ExplainVerbOptions extends SourceOptions {
  readonly from: WorkloadName | PodRef
  readonly header: readonly (readonly [name: string, value: string])[]
  readonly output: 'table' | 'json' | 'yaml'
}

/** `waymark explain`: where a request would go and why, by a folder or by the cluster as it is now. */
export async function explain(request: readonly string[], options: ExplainVerbOptions, io: Io, access: ClusterAccess = {}): Promise<number> {
  const probe = parseProbe(request, options.header)
  const { file, from } = options
  const print = (world: PodWorld): void => {
    const { snapshot, trustDomain } = world
    const explanation = 'pod' in from ? explainFromPod(world, from, probe) : explainProbe(snapshot, { trustDomain, ...from }, probe)
    if (options.output === 'table') io.out(formatExplanation(explanation, io.paint))
    else io.out((options.output === 'json' ? toJson : toYaml)(explanation))
  }
  if (file === undefined) {
    return withCluster(options, access, io, 'explain', async (client) => {
      const live = await readWholeLive(client, options.trustDomain)
      const { resources, trustDomain, nodeAgent } = live
      const unknown = nodeAgent === 'reported' && 'pod' in from && argsOf(await readDaemonSet(client, live.rootNamespace)).includes('--unknown-destinations=refuse') ? 'refuse' : 'pass'
      print({ resources, trustDomain, nodeAgent, unknown, snapshot: translateLive(live).snapshot })
      sayUnread(live, io)
      return exitCodes.fine
    })
  }
  const loaded = await readFolder(file)
  const trustDomain = options.trustDomain ?? defaultTrustDomain
  print({ resources: loaded.resources, trustDomain, nodeAgent: true, unknown: 'pass', snapshot: translateRunning(loaded, trustDomain).snapshot })
  sayIncomplete(loaded, file, io)
  return exitCodes.fine
}
