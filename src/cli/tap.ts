import type { KubeChoice } from '../kube/config.ts'
import type { PodPorts } from '../kube/port-forward.ts'
import { ports } from '../model/install.ts'
import { encodeTapFilter, type TapFilter } from '../telemetry/tap-filter.ts'
import { describeFailure, openPodPorts, withCluster, type ClusterAccess } from './cluster.ts'
import { exitCodes, type Io } from './io.ts'
import { stopSignal } from './signals.ts'
import { formatTapped, type Tapped } from './tap/format.ts'
import { findTapped, parseTapTarget, type TappedProcess } from './tap/targets.ts'

export interface TapOptions extends KubeChoice {
  /** Of the pod or the Service; undefined: that of the context. */
  readonly namespace?: string | undefined
  readonly only?: 'requests' | 'connections' | undefined
  readonly method?: string | undefined
  readonly path?: string | undefined
  readonly status?: string | undefined
  readonly source?: string | undefined
  readonly destination?: string | undefined
  readonly verdict?: TapFilter['verdict']
  /** Milliseconds after which it ends. */
  readonly for?: number | undefined
  /** Records after which it ends. */
  readonly max?: number | undefined
  /** Lines a second of each process. */
  readonly rate: number
  readonly output: 'table' | 'json'
}

export interface TapAccess extends ClusterAccess {
  readonly podPorts?: PodPorts
  /** Ends it, in place of the process's signals. */
  readonly stopped?: Promise<void>
}

/** `waymark tap`: requests and connections while they happen. @throws {UsageError} */
export async function tap(what: string, options: TapOptions, io: Io, access: TapAccess = {}): Promise<number> {
  const target = parseTapTarget(what, options.namespace)
  return withCluster(options, access, io, 'tap', async (client) => {
    const podPorts = access.podPorts ?? (await openPodPorts(options))
    const found = await findTapped(client, target)
    if (typeof found === 'string') {
      io.say(`waymark tap: ${found}`)
      return exitCodes.failed
    }
    for (const line of found.notes) io.say(line)
    return look(podPorts, found.processes, { ...found.filter, ...filterOf(options) }, options, io, access)
  })
}

function filterOf({ only, method, path, status, source, destination, verdict }: TapOptions): TapFilter {
  return { kind: only === undefined ? undefined : only === 'requests' ? 'request' : 'connection', method: method?.toUpperCase(), path, status, source, destination, verdict }
}

async function look(podPorts: PodPorts, processes: readonly TappedProcess[], filter: TapFilter, options: TapOptions, io: Io, access: TapAccess): Promise<number> {
  const stop = new AbortController()
  const end = (): void => stop.abort()
  const signal = access.stopped === undefined ? stopSignal() : undefined
  void (access.stopped ?? signal?.first)?.then(end)
  // Whoever read what is printed has gone.
  process.stdout.once('error', end)
  const timer = options.for === undefined ? undefined : setTimeout(end, options.for)
  const query = encodeTapFilter(filter)
  query.set('rate', String(options.rate))
  let shown = 0
  let answered = 0
  let failures = 0
  const speakers = new Set<string>()
  const answer = (): void => {
    if (++answered === processes.length && speakers.size > 0) io.say(`looking on at ${speakers.size === 1 ? '1 process' : `${speakers.size} processes`}; Ctrl-C ends it`)
  }
  /** @returns whether to go on: while an agent replaces another, the pods of both lead to one process */
  const greet = ({ process: speaker = '' }: Tapped): boolean => {
    const isNew = !speakers.has(speaker)
    speakers.add(speaker)
    answer()
    return isNew
  }
  const take = (process: TappedProcess, line: string): void => {
    const record = JSON.parse(line) as Tapped
    if (record.kind === 'dropped') {
      io.say(`${process.role} ${process.pod.namespace}/${process.pod.name} dropped ${record.count ?? 0} lines: ask for fewer by a filter, or for more by --rate`)
    } else if (options.max === undefined || shown < options.max) {
      io.out(options.output === 'json' ? `${line}\n` : formatTapped(record, io.paint))
      if (++shown === options.max) end()
    }
  }
  const follow = async (process: TappedProcess): Promise<void> => {
    const name = `${process.role} ${process.pod.namespace}/${process.pod.name}`
    try {
      for await (const line of podPorts.lines(process.pod, ports.admin, `/tap?${query.toString()}`, stop.signal)) {
        if (stop.signal.aborted) return
        if (line === '') continue
        const greeting = line.startsWith('{"kind":"tapping"') ? (JSON.parse(line) as Tapped) : undefined
        if (greeting === undefined) take(process, line)
        else if (!greet(greeting)) return
      }
      if (!stop.signal.aborted) io.say(`${name} has ended`)
    } catch (error) {
      failures++
      io.say(`${name} can not be looked at: ${describeFailure(error)}`)
      answer()
    }
  }
  try {
    await Promise.all(processes.map(follow))
  } finally {
    clearTimeout(timer)
    process.stdout.off('error', end)
    signal?.release()
  }
  return failures === processes.length ? exitCodes.failed : exitCodes.fine
}
