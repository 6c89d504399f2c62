import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, watch, writeFileSync, type FSWatcher } from 'node:fs'
import { join } from 'node:path'
import { systemClock, type Cancel, type Clock } from '../../kit/clock.ts'
import { messageOf } from '../../kit/message.ts'
import { chain, chosenConfiguration, pluginName, unchain } from './configuration.ts'
import { patienceSeconds } from './mailbox.ts'

export interface PluginPlaces {
  /** The runtime's folder of configurations, `/etc/cni/net.d` of the node, as this process sees it. */
  readonly configurations: string
  /** The runtime's folder of plugins, `/opt/cni/bin` of the node, as this process sees it. */
  readonly binaries: string
}

export interface InstallOptions extends PluginPlaces {
  /** The mailbox's folder as the node sees it: the plugin runs there. */
  readonly directoryOnNode: string
  readonly log: (line: string) => void
  readonly clock?: Clock
}

/** The plugin is kept in place while it is wanted: what a network plugin writes anew is extended again. */
export interface PluginInstallation {
  /** Puts it in place, and back; without a namespace of the mesh there is nothing for it to hold, and the node is as it was before. */
  readonly want: (wanted: boolean) => void
  /** Whether the runtime asks us now. */
  readonly installed: () => boolean
  /** Why not; '' if it does, or is not wanted. */
  readonly problem: () => string
  /** Ends the watch and leaves the plugin where it is: pods of enrolled namespaces do not start without an agent. */
  readonly close: () => void
}

const pollMs = 10_000
/** Somebody who takes the entry out again and again is not fought faster than that. */
const patience = { changes: 5, withinMs: 10_000 } as const

/** Puts the plugin's file and then its entry in place as soon as it is wanted, and watches that the entry stays. */
export function installPlugin({ configurations, binaries, directoryOnNode, log, clock = systemClock }: InstallOptions): PluginInstallation {
  /** Undefined: nobody has said yet, and what an agent before has left stays. */
  let wanted: boolean | undefined
  let problem = ''
  let inPlace = false
  let changes: number[] = []
  let watcher: FSWatcher | undefined
  let poll: Cancel | undefined
  let closed = false

  const ensure = (): void => {
    if (closed || wanted !== true) return
    let now: string
    try {
      now = ensureOnce()
    } catch (error) {
      now = messageOf(error)
    }
    if (now !== problem && now !== '') log(`the plugin of CNI is not in place, and pods may start uncaptured: ${now}`)
    if (now === '' && !inPlace) log('the plugin of CNI is in place')
    inPlace = now === ''
    problem = now
  }

  const remove = (): void => {
    try {
      removePlugin({ configurations, binaries })
      if (inPlace) log('the plugin of CNI is taken out: no namespace is in the mesh')
      problem = ''
    } catch (error) {
      problem = messageOf(error)
      log(`the plugin of CNI is not taken out: ${problem}`)
    }
    inPlace = false
  }

  const ensureOnce = (): string => {
    // The file before the entry: the runtime runs what is in the list.
    writeIfChanged(join(binaries, pluginName), pluginScript(directoryOnNode), 0o755)
    const name = chosenConfiguration(readdirSync(configurations))
    if (name === undefined) return `no network plugin has written its configuration to ${configurations} yet`
    const path = join(configurations, name)
    let wanted: string
    const text = readFileSync(path, 'utf8')
    try {
      wanted = chain(text)
    } catch (error) {
      return `${path}: ${messageOf(error)}`
    }
    if (wanted === text) return ''
    changes = changes.filter((at) => clock.now() - at < patience.withinMs)
    if (changes.length >= patience.changes) return `somebody takes the entry out of ${path} again and again`
    changes.push(clock.now())
    writeIfChanged(path, wanted, statSync(path).mode & 0o7777)
    return ''
  }

  const begin = (): void => {
    try {
      if (watcher === undefined) {
        watcher = watch(configurations, { persistent: false }, ensure)
        watcher.on('error', () => {
          watcher?.close()
          watcher = undefined
        })
      }
    } catch {
      // Not there yet: the poll does without.
    }
    ensure()
  }
  const pollOn = (): void => {
    poll = clock.after(pollMs, () => {
      begin()
      // What could not be taken out is tried again.
      if (wanted === false && problem !== '') remove()
      if (!closed) pollOn()
    })
  }

  begin()
  pollOn()
  return {
    want: (next) => {
      if (closed || next === wanted) return
      wanted = next
      if (wanted) ensure()
      else remove()
    },
    installed: () => inPlace,
    problem: () => problem,
    close: () => {
      closed = true
      poll?.()
      watcher?.close()
    },
  }
}

/**
 * Takes the entry out of every configuration, which are then as they were, and after that the plugin's file.
 * @throws if a file can not be written; what was done until then stays done, and it can be called again
 */
export function removePlugin({ configurations, binaries }: PluginPlaces): void {
  for (const name of existsSync(configurations) ? readdirSync(configurations) : []) {
    if (chosenConfiguration([name]) === undefined) continue
    const path = join(configurations, name)
    const text = readFileSync(path, 'utf8')
    if (!text.includes(pluginName)) continue
    writeIfChanged(path, unchain(text), statSync(path).mode & 0o7777)
  }
  rmSync(join(binaries, pluginName), { force: true })
}

/** The plugin as it is put on a node. @param directory the mailbox's folder there @throws TypeError if the path has characters that a shell could take for something else */
export function pluginScript(directory: string): string {
  if (!/^\/[\w./-]+$/.test(directory)) throw new TypeError(`${directory} is no plain absolute path`)
  const template = readFileSync(new URL('./waymark-cni.sh', import.meta.url), 'utf8')
  return template.replace('@DIRECTORY@', directory).replace('@LIMIT_SECONDS@', String(patienceSeconds))
}

/** By a draft of a name that no runtime reads, so that nobody ever sees a half. */
function writeIfChanged(path: string, text: string, mode: number): void {
  if (existsSync(path) && readFileSync(path, 'utf8') === text && (statSync(path).mode & 0o7777) === mode) return
  const draft = `${path}.${pluginName}.${process.pid}`
  try {
    writeFileSync(draft, text)
    // Whatever the process's mask.
    chmodSync(draft, mode)
    renameSync(draft, path)
  } finally {
    rmSync(draft, { force: true })
  }
}
