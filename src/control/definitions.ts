import { debounce } from '../kit/debounce.ts'
import type { Cancel, Clock } from '../kit/clock.ts'
import type { Readiness } from '../kit/ready.ts'
import type { Verdict } from '../kit/verdict.ts'
import type { KubeClient } from '../kube/client.ts'
import { isStatus } from '../kube/errors.ts'
import { judgeOwn, judgeRelease, readDefinitions } from '../sources/kube/definitions.ts'
import { createReporter } from './reporter.ts'

export interface DefinitionsOptions {
  readonly client: KubeClient
  readonly clock: Clock
  /** Gets a note for each thing that is not as it should be: none of them keeps the mesh from working. */
  readonly readiness: Pick<Readiness, 'note'>
  /** Gets a line for each of them when it shows, and one when it is gone. */
  readonly log: (line: string) => void
}

/** Whether the CRDs of a cluster are those that this program is made for. */
export interface DefinitionsWatch {
  /** Looks again soon: a kind came or went. */
  readonly again: () => void
  /** What is wrong now, each with what to do. */
  readonly problems: () => readonly string[]
  readonly close: () => void
}

const everyMs = 300_000
/** After a look that failed. */
const retryMs = 30_000
/** CRDs come one after the other, and in between they are of two releases. */
const settleMs = 5_000

const mayNot = 'whether the CRDs are of the right release and channel is not known: the controller may not read them; install again, or compare its ClusterRole with docs/rbac.md'

/** Looks at the CRDs now and every few minutes; they are rarely changed, and to watch them all would take a right to read all. */
export function watchDefinitions({ client, clock, readiness, log }: DefinitionsOptions): DefinitionsWatch {
  const report = createReporter(log)
  let problems: readonly string[] = []
  let closed = false
  let looking: Promise<void> | undefined
  let timer: Cancel | undefined

  const tell = (verdicts: Readonly<Record<string, Verdict | undefined>>): void => {
    const lines = Object.entries(verdicts).map(([name, verdict]) => ({ name, line: describe(verdict) }))
    for (const { name, line } of lines) readiness.note(`CRDs/${name}`, line)
    readiness.note('CRDs', undefined)
    problems = lines.flatMap(({ line }) => line ?? [])
    report(problems)
  }
  /** @returns milliseconds until the next look */
  const look = async (): Promise<number> => {
    try {
      const [release, channel] = judgeRelease(await readDefinitions(client, 'gateway'))
      const [own] = judgeOwn(await readDefinitions(client, 'own'))
      if (!closed) tell({ release, channel, own })
      return everyMs
    } catch (error) {
      // What was seen last holds while the API server is away: who is connected to it will say so.
      if (!isStatus(error, 403)) return retryMs
      if (!closed) readiness.note('CRDs', mayNot)
      return everyMs
    }
  }
  const start = (): void => {
    timer?.()
    looking ??= look().then((nextMs) => {
      looking = undefined
      if (!closed) timer = clock.after(nextMs, start)
    })
  }
  const soon = debounce(start, { clock, quietMs: settleMs, maxMs: retryMs })
  start()

  return {
    again: soon.poke,
    problems: () => problems,
    close: () => {
      closed = true
      soon.cancel()
      timer?.()
    },
  }
}

function describe(verdict: Verdict | undefined): string | undefined {
  if (verdict === undefined || verdict.severity === 'ok') return undefined
  const { message, details = [], advice } = verdict
  return [`${message}${details.length === 0 ? '' : ` (${details.join(', ')})`}`, ...(advice === undefined ? [] : [advice])].join('; ')
}
