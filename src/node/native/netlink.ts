import { hash } from 'node:crypto'
import { forgetMarked } from '../rules/conntrack.ts'
import { decodeAnswers, decodeObjects, encode, flag, type Message, type Received } from '../rules/netlink.ts'
import { batch, type Table, replaceTable, deleteTable, tableQuestions, tableSubstance } from '../rules/table.ts'
import { hasReplyRouting, routingQuestions, type RoutingStep } from '../rules/routing.ts'
import { NetworkError } from '../network.ts'
import { errnoName, family, kind, libc } from './libc.ts'
import type { Namespace } from './namespace.ts'

const protocol = { route: 0, netfilter: 12 } as const
const datagram = Buffer.alloc(64 * 1024)

/** Puts `table` in force in a namespace, in one transaction: at no moment is there less than before and after. Undefined: the node's own namespace. */
export function putTable(namespace: Namespace | undefined, table: Table): Promise<void> {
  return changeTables(namespace, replaceTable(table))
}

/** Takes the table `name` away, if there is one. */
export function dropTable(namespace: Namespace | undefined, name: string): Promise<void> {
  return changeTables(namespace, deleteTable(name))
}

/** Makes the kernel forget the connections of a namespace that are marked `mark`. @throws NetworkError */
export async function forgetConnections(namespace: Namespace, mark: number): Promise<void> {
  const message = forgetMarked(mark)
  for (const { about, code } of await converse(namespace, protocol.netfilter, [{ ...message, flags: flag.ack }])) throw new NetworkError(code, `conntrack, ${about}`, adviceOf(code) ?? 'the kernel needs nf_conntrack_netlink')
}

async function changeTables(namespace: Namespace | undefined, messages: readonly Message[]): Promise<void> {
  const failed = await converse(namespace, protocol.netfilter, batch(messages.map((each) => ({ ...each, flags: each.flags | flag.ack }))))
  for (const { about, code } of failed) throw new NetworkError(code, `nf_tables, ${about}`, adviceOf(code))
}

/** Takes the steps of routing in their order. */
export async function changeRouting(namespace: Namespace, steps: readonly RoutingStep[]): Promise<void> {
  for (const step of steps) {
    for (const { about, code } of await converse(namespace, protocol.route, [{ ...step, flags: step.flags | flag.ack }])) {
      if (!step.fine.includes(code)) throw new NetworkError(code, `rtnetlink, ${about}`, adviceOf(code))
    }
  }
}

/** A fingerprint of what is in force of a table; undefined if a part of it is not there. The same for the same rules, whoever put them. */
export async function readTable(namespace: Namespace | undefined, table: Table): Promise<string | undefined> {
  const { single, rules } = tableQuestions(table)
  const answers: Received[] = []
  for (const message of [...single, rules]) {
    const objects = await ask(namespace, protocol.netfilter, message)
    if (objects === undefined) return undefined
    answers.push(...objects)
  }
  // Rules that somebody added are as bad as those that somebody took away.
  if (answers.length !== single.length + table.chains.reduce((sum, chain) => sum + chain.rules.length, 0)) return undefined
  return hash('sha256', Buffer.concat(tableSubstance(answers).flatMap((part) => [Buffer.from(`${part.length} `), part])))
}

/** Whether there is a table of that name. */
export async function hasTable(namespace: Namespace | undefined, name: string): Promise<boolean> {
  for (const message of tableQuestions({ name, sets: [], chains: [] }).single) if ((await ask(namespace, protocol.netfilter, message)) === undefined) return false
  return true
}

/** Whether what `replyRouting` puts in is there, for each of the families. */
export async function hasRouting(namespace: Namespace, families: readonly (4 | 6)[]): Promise<boolean> {
  for (const family of families) {
    const { rules, routes } = routingQuestions(family)
    if (!hasReplyRouting(await ask(namespace, protocol.route, rules) ?? [], await ask(namespace, protocol.route, routes) ?? [])) return false
  }
  return true
}

/** Hears of changes in a namespace. */
export interface ChangeWatch {
  /** Whether anything was changed since the last call, by whomever. Costs two system calls if nothing was. */
  readonly changed: () => boolean
  readonly close: () => void
}

/** Groups of netlink, as bits: nf_tables; routes and rules of both families. Source: Linux `include/uapi/linux/{netfilter/nfnetlink,rtnetlink}.h`. */
const groups = { netfilter: 1 << 6, route: (1 << 6) | (1 << 7) | (1 << 10) | (1 << 18) } as const
/** Notices that are read at a time: somebody may make more without end. */
const mostNotices = 64

/** Watches nf_tables and routing of a namespace. The kernel collects the notices; nobody is woken. @throws NetworkError */
export function watchChanges(namespace: Namespace | undefined): ChangeWatch {
  const open: number[] = []
  const close = (): void => {
    for (const fd of open.splice(0)) libc.close(fd)
  }
  try {
    for (const name of ['netfilter', 'route'] as const) {
      const make = (): number => libc.socket(family.netlink, kind.raw, protocol[name])
      const fd = namespace === undefined ? make() : namespace.run(make)
      open.push(fd)
      // struct sockaddr_nl: family, padding, port (the kernel chooses), groups.
      const address = Buffer.alloc(12)
      address.writeUInt16LE(family.netlink, 0)
      address.writeUInt32LE(groups[name], 8)
      libc.bind(fd, address, `netlink groups of ${name}`)
    }
  } catch (error) {
    close()
    throw error
  }
  const heard = (fd: number): boolean => {
    for (let notices = 0; notices < mostNotices; notices++) {
      try {
        if (libc.receive(fd, datagram) === undefined) return notices > 0
      } catch (error) {
        // More was changed than the kernel keeps.
        if (!(error instanceof NetworkError && error.code === 'ENOBUFS')) throw error
      }
    }
    return true
  }
  // Both are read, whatever the first says.
  return { changed: () => open.map(heard).includes(true), close }
}

/** Asks one question. @returns the objects of the answer; undefined if there is no such thing @throws NetworkError */
async function ask(namespace: Namespace | undefined, protocolNumber: number, message: Message): Promise<readonly Received[] | undefined> {
  const make = (): number => libc.socket(family.netlink, kind.raw, protocolNumber)
  const fd = namespace === undefined ? make() : namespace.run(make)
  const dump = (message.flags & flag.dump) === flag.dump
  try {
    await libc.send(fd, encode(message, 1))
    const found: Received[] = []
    for (;;) {
      const received = libc.receive(fd, datagram)
      if (received === undefined) throw new NetworkError('EPROTO', `netlink, ${message.about}`, 'the kernel did not answer')
      const [failure] = decodeAnswers(received)
      if (failure !== undefined && failure.errno !== 0) {
        const code = errnoName(failure.errno)
        if (code === 'ENOENT') return undefined
        throw new NetworkError(code, `netlink, ${message.about}`, adviceOf(code))
      }
      const { objects, done } = decodeObjects(received)
      found.push(...objects)
      if (done || !dump) return found
    }
  } finally {
    libc.close(fd)
  }
}

function adviceOf(code: string): string | undefined {
  if (code === 'EPERM') return 'the agent needs CAP_NET_ADMIN'
  if (code === 'ENOENT' || code === 'EOPNOTSUPP' || code === 'EPROTONOSUPPORT') return 'the kernel needs nf_tables with nat, redirect, fib and conntrack with zones'
  return undefined
}

interface Failure {
  readonly about: string
  readonly code: string
}

/**
 * Sends all messages at once, from a socket of the namespace. The kernel has done everything when the call to send returns, 10 to 20 ms later for
 * nf_tables, and its answers are there. @returns what failed, in the order of the answers; empty: every message that asked for it was acknowledged
 */
async function converse(namespace: Namespace | undefined, protocolNumber: number, messages: readonly Message[]): Promise<readonly Failure[]> {
  const make = (): number => libc.socket(family.netlink, kind.raw, protocolNumber)
  const fd = namespace === undefined ? make() : namespace.run(make)
  try {
    await libc.send(fd, Buffer.concat(messages.map((message, index) => encode(message, index + 1))))
    const waiting = new Map(messages.flatMap((message, index) => ((message.flags & flag.ack) === 0 ? [] : [[index + 1, message.about] as const])))
    const failed: Failure[] = []
    for (let received = libc.receive(fd, datagram); received !== undefined; received = libc.receive(fd, datagram)) {
      for (const { sequence, errno } of decodeAnswers(received)) {
        if (errno !== 0) failed.push({ about: messages[sequence - 1]?.about ?? 'unknown message', code: errnoName(errno) })
        waiting.delete(sequence)
      }
    }
    // A batch that failed is answered only where it did.
    const [unanswered] = waiting.values()
    if (failed.length === 0 && unanswered !== undefined) throw new NetworkError('EPROTO', `netlink, ${unanswered}`, 'the kernel did not answer')
    return failed
  } finally {
    libc.close(fd)
  }
}
