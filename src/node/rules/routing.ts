import { attribute, attributesOf, flag, host32, type Message, type Received } from './netlink.ts'
import { replyMark } from './pod.ts'

/**
 * Routing in a captured pod: packets with `replyMark`, the application's answers to a client whose address the agent shows, go to the agent's socket
 * and not out of the pod. As commands, for each family:
 *
 *     ip rule add priority 15006 fwmark 0x111 lookup 15006
 *     ip route replace local default dev lo table 15006
 *
 * Source: rtnetlink(7), Linux `include/uapi/linux/{rtnetlink,fib_rules}.h`.
 */
export interface RoutingStep extends Message {
  /** Errno names that say that it is so already. */
  readonly fine: readonly string[]
}

const call = { newRoute: 24, getRoute: 26, newRule: 32, deleteRule: 33, getRule: 34 } as const
/** A priority and a table of our own: one rule there is never two, and no CNI's table is touched. */
const table = 15_006
const inMachine = { 4: 2, 6: 10 } as const
const loopback = 1
const host = 254

/** The steps for one family; may be repeated. */
export function replyRouting(family: 4 | 6): readonly RoutingStep[] {
  return [
    // The route first: the rule without it would send answers nowhere.
    {
      type: call.newRoute,
      flags: flag.create | flag.replace,
      // rtmsg: family, lengths of destination and source, tos, table, protocol (static), scope (host), type (local), flags.
      body: Buffer.concat([Buffer.from([inMachine[family], 0, 0, 0, 0, 4, family === 4 ? host : 0, 2, 0, 0, 0, 0]), attribute(15, host32(table)), attribute(4, host32(loopback))]),
      about: `add IPv${family} route to table ${table}`,
      fine: ['EEXIST'],
    },
    { type: call.newRule, flags: flag.create | flag.excl, body: rule(family), about: `add IPv${family} rule for table ${table}`, fine: ['EEXIST'] },
  ]
}

/** Takes back the rule; the route stays in its table, which nothing then leads to. */
export function removeReplyRouting(family: 4 | 6): readonly RoutingStep[] {
  return [{ type: call.deleteRule, flags: 0, body: rule(family), about: `delete IPv${family} rule for table ${table}`, fine: ['ENOENT'] }]
}

/** Asks for all rules and all routes of a family. */
export function routingQuestions(family: 4 | 6): { readonly rules: Message; readonly routes: Message } {
  const ask = (type: number, what: string): Message => ({ type, flags: flag.dump, body: Buffer.from([inMachine[family], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), about: `get IPv${family} ${what}` })
  return { rules: ask(call.getRule, 'rules'), routes: ask(call.getRoute, 'routes') }
}

/** Whether the answers to `routingQuestions` hold what `replyRouting` puts in. */
export function hasReplyRouting(rules: readonly Received[], routes: readonly Received[]): boolean {
  const is = (value: Buffer | undefined, wanted: number): boolean => value?.length === 4 && value.readUInt32LE() === wanted
  const rule = rules.some(({ body }) => {
    const attributes = attributesOf(body, 12)
    return is(attributes.get(6), 15_006) && is(attributes.get(10), replyMark) && is(attributes.get(15), table) && body[7] === 1
  })
  // rtmsg: the type is local.
  return rule && routes.some(({ body }) => body[7] === 2 && is(attributesOf(body, 12).get(15), table) && is(attributesOf(body, 12).get(4), loopback))
}

/** fib_rule_hdr: family, lengths, tos, table, two reserved, action (look up the table), flags; then priority, mark, mask and table. */
function rule(family: 4 | 6): Buffer {
  return Buffer.concat([
    Buffer.from([inMachine[family], 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]),
    attribute(6, host32(15_006)),
    attribute(10, host32(replyMark)),
    attribute(16, host32(0xffffffff)),
    attribute(15, host32(table)),
  ])
}
