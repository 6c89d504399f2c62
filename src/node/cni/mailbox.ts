import { mkdirSync, readFileSync, renameSync, rmSync, statSync, watch, writeFileSync, type FSWatcher } from 'node:fs'
import { join } from 'node:path'
import { systemClock, type Cancel, type Clock } from '../../kit/clock.ts'
import { messageOf } from '../../kit/message.ts'
import { namesIn } from '../folder.ts'
import { netnsName, type FoundPod } from '../pods/result.ts'

/** How long the plugin waits for an answer, seconds. Many pods that start at once on a small node wait for each other. */
export const patienceSeconds = 20

export interface MailboxOptions {
  /** The folder of the node in which the plugin and the agents meet; made if it is not there. It must survive a restart of the node. */
  readonly directory: string
  /** Resolves when the pod may start; if it rejects, it may not, and the message tells the pod's owner why. The pod has no addresses yet. */
  readonly admit: (pod: FoundPod) => Promise<unknown>
  readonly log: (line: string) => void
  readonly clock?: Clock
}

/** The agent's side of the plugin. */
export interface Mailbox {
  /** Pods of these namespaces start only with an agent's consent from now on, also while none runs. */
  readonly enrol: (namespaces: Iterable<string>) => void
  /** Takes no more requests; the ones that were taken are answered. The next agent's may be open already. */
  readonly close: () => void
}

/** Nothing that came later than that is missed, whatever the kernel reports, milliseconds. */
const pollMs = 2_000

/** Answers the plugin. Several agents may do so at once, while one takes over from another: each request is one's. */
export function openMailbox({ directory, admit, log, clock = systemClock }: MailboxOptions): Mailbox {
  const requests = join(directory, 'requests')
  const answers = join(directory, 'answers')
  const namespaces = join(directory, 'namespaces')
  for (const folder of [requests, answers, namespaces]) mkdirSync(folder, { recursive: true, mode: 0o700 })
  let closed = false
  let poll: Cancel | undefined
  let watcher: FSWatcher | undefined

  const isStale = (path: string): boolean => clock.now() - statSync(path).mtimeMs > patienceSeconds * 1000

  const answer = (id: string, said: string): void => {
    const draft = join(answers, `.${id}.${process.pid}`)
    writeFileSync(draft, `${said.replaceAll(/\s+/g, ' ')}\n`, { mode: 0o600 })
    renameSync(draft, join(answers, id))
  }

  const serve = async (id: string): Promise<void> => {
    const taken = join(requests, `.${id}.taken.${process.pid}`)
    let said: string
    try {
      // Whoever renames it has it.
      renameSync(join(requests, id), taken)
    } catch {
      return
    }
    try {
      // Nobody waits for it any more: its plugin was killed, or the node was restarted.
      if (isStale(taken)) return
      const pod = parseRequest(id, readFileSync(taken, 'utf8'))
      if (pod === undefined) throw new Error('the request names no pod or no network namespace')
      await admit(pod)
      said = 'ok'
    } catch (error) {
      said = messageOf(error)
      log(`a pod may not start yet (request ${id}): ${said}`)
    } finally {
      rmSync(taken, { force: true })
    }
    try {
      answer(id, said)
    } catch (error) {
      log(`the answer to request ${id} can not be written: ${messageOf(error)}`)
    }
  }

  const look = (): void => {
    if (closed) return
    for (const name of namesIn(requests)) {
      if (!name.startsWith('.')) void serve(name)
      else sweep(join(requests, name))
    }
    for (const name of namesIn(answers)) sweep(join(answers, name))
  }

  /** Removes what an agent or a plugin left when it died. */
  const sweep = (path: string): void => {
    try {
      if (isStale(path)) rmSync(path)
    } catch {
      // Its owner was faster.
    }
  }

  const pollOn = (): void => {
    poll = clock.after(pollMs, () => {
      look()
      if (!closed) pollOn()
    })
  }

  try {
    watcher = watch(requests, { persistent: false }, (_event, name) => {
      if (!closed && name !== null && !name.startsWith('.')) void serve(name)
    })
    watcher.on('error', () => {})
  } catch {
    // Out of watches: the poll does without.
  }
  look()
  pollOn()
  return {
    enrol: (names) => {
      const wanted = new Set(names)
      const present = namesIn(namespaces)
      for (const name of wanted) if (!present.includes(name)) writeFileSync(join(namespaces, name), '')
      for (const name of present) if (!wanted.has(name)) rmSync(join(namespaces, name), { force: true })
    },
    close: () => {
      closed = true
      poll?.()
      watcher?.close()
    },
  }
}

/** Reads a request: the path of the network namespace, and `CNI_ARGS`. @returns undefined if it does not say all that is needed */
export function parseRequest(id: string, text: string): FoundPod | undefined {
  const [path = '', given = ''] = text.split('\n')
  const facts = new Map(
    given.split(';').map((pair) => {
      const at = pair.indexOf('=')
      return [pair.slice(0, at), pair.slice(at + 1)] as const
    }),
  )
  const netns = netnsName(path)
  const uid = facts.get('K8S_POD_UID')
  const namespace = facts.get('K8S_POD_NAMESPACE')
  const name = facts.get('K8S_POD_NAME')
  if (netns === undefined || !uid || !namespace || !name) return undefined
  return { id, uid, namespace, name, netns, addresses: [] }
}
