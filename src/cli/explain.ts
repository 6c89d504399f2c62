import { exitCodes, type Io } from './io.ts'
import { explainProbe } from './explain/explain.ts'
import { formatExplanation } from './explain/format.ts'
import { parseProbe } from './explain/probe.ts'
import { readFolder, sayIncomplete, translateRunning } from './load.ts'
import { toJson } from './json.ts'
import { toYaml } from './yaml.ts'
import type { WorkloadName } from './usage.ts'

export interface ExplainVerbOptions {
  readonly file: string
  readonly from: WorkloadName
  readonly header: readonly (readonly [name: string, value: string])[]
  readonly output: 'table' | 'json' | 'yaml'
  readonly trustDomain: string
}

/** `waymark explain`: where a request would go and why. */
export async function explain(request: readonly string[], options: ExplainVerbOptions, io: Io): Promise<number> {
  const probe = parseProbe(request, options.header)
  const loaded = await readFolder(options.file)
  const { snapshot } = translateRunning(loaded, options.trustDomain)
  const explanation = explainProbe(snapshot, { trustDomain: options.trustDomain, ...options.from }, probe)
  if (options.output === 'table') io.out(formatExplanation(explanation, io.paint))
  else io.out((options.output === 'json' ? toJson : toYaml)(explanation))
  sayIncomplete(loaded, options.file, io)
  return exitCodes.fine
}
