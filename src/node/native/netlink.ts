import { decodeAnswers, encode, flag, type Message } from '../rules/netlink.ts'
import { batch, type Table, replaceTable, deleteTable } from '../rules/table.ts'
import { type RoutingStep } from '../rules/routing.ts'
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

function adviceOf(code: string): string | undefined {
  if (code === 'EPERM') return 'the agent needs CAP_NET_ADMIN'
  if (code === 'ENOENT' || code === 'EOPNOTSUPP' || code === 'EPROTONOSUPPORT') return 'the kernel needs nf_tables with nat, redirect, fib and conntrack'
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
