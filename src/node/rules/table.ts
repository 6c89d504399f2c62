import { addressBytes } from './address.ts'
import { attribute, attributesOf, be32, flag, netfilterHeader, type Message, type Received } from './netlink.ts'
import type { Statement } from './statements.ts'

/** A table of nf_tables in the family `inet`: what is in it is all there is, for it is always replaced as a whole. */
export interface Table {
  readonly name: string
  readonly sets: readonly AddressSet[]
  readonly chains: readonly Chain[]
}

/** A set of addresses of one family. */
export interface AddressSet {
  readonly name: string
  readonly family: 4 | 6
  readonly addresses: readonly string[]
}

/** A base chain; its policy is to accept. */
export interface Chain {
  readonly name: string
  readonly type: 'nat' | 'route' | 'filter'
  readonly hook: keyof typeof hooks
  readonly priority: number
  readonly rules: readonly (readonly Statement[])[]
}

const hooks = { prerouting: 0, output: 3, postrouting: 4 } as const

/** The table in the language of `nft`: what people read, and what `nft -f -` would make of it. */
export function tableText({ name, sets, chains }: Table): string {
  const elements = (addresses: readonly string[]): string => (addresses.length === 0 ? '' : `; elements = { ${addresses.join(', ')} }`)
  return [
    `table inet ${name} {`,
    ...sets.map((set) => `  set ${set.name} { type ipv${set.family}_addr${elements(set.addresses)}; }`),
    ...chains.flatMap((chain) => [
      `  chain ${chain.name} {`,
      `    type ${chain.type} hook ${chain.hook} priority ${chain.priority}; policy accept;`,
      ...chain.rules.map((rule) => `    ${rule.map((statement) => statement.text).join(' ')}`),
      '  }',
    ]),
    '}',
    '',
  ].join('\n')
}

// Subsystem 10 is nf_tables; begin and end of a batch belong to nfnetlink itself.
const nfTables = 10 << 8
const call = { newTable: 0, getTable: 1, deleteTable: 2, newChain: 3, getChain: 4, newRule: 6, getRule: 7, newSet: 9, newElements: 12 } as const
const inet = 1
const keyType = { 4: 7, 6: 8 } as const
const elementsAtOnce = 1_000

/** Puts the table in place of one of its name, or in place of nothing. To be sent as one batch: it holds as a whole or not at all. */
export function replaceTable(table: Table): readonly Message[] {
  const ofTable = attribute(1, table.name)
  return [
    // Made so that it can be deleted: deleting what is not there fails the batch.
    ...deleteTable(table.name),
    message('newTable', flag.create, [ofTable, attribute(2, be32(0))], `add table ${table.name}`),
    ...table.sets.flatMap((set, index) => setMessages(ofTable, set, index + 1)),
    ...table.chains.flatMap((chain) => chainMessages(ofTable, chain)),
  ]
}

/** Takes the table away, if it is there. */
export function deleteTable(name: string): readonly Message[] {
  const ofTable = attribute(1, name)
  return [
    message('newTable', flag.create, [ofTable, attribute(2, be32(0))], `add table ${name}`),
    message('deleteTable', 0, [ofTable], `delete table ${name}`),
  ]
}

/** Asks for what is in force of a table: itself, its chains, and then all of its rules. */
export function tableQuestions({ name, chains }: Table): { readonly single: readonly Message[]; readonly rules: Message } {
  const ofTable = attribute(1, name)
  return {
    single: [
      message('getTable', 0, [ofTable], `get table ${name}`),
      ...chains.map((chain) => message('getChain', 0, [ofTable, attribute(3, chain.name)], `get chain ${chain.name}`)),
    ],
    rules: message('getRule', flag.dump, [ofTable], `get rules of ${name}`),
  }
}

/** What counts of the answers to `tableQuestions`, in their order: without handles and counters, which differ each time. A table that is switched off (`dormant`) is another. */
export function tableSubstance(answers: readonly Received[]): readonly Buffer[] {
  return answers.flatMap(({ type, body }) => {
    const attributes = attributesOf(body, 4)
    const kept = substance[type & 0xff] ?? []
    return kept.map((each) => attributes.get(each) ?? Buffer.alloc(0))
  })
}

/** By the kind of answer: of a table name and flags; of a chain table, name, hook, policy, type; of a rule table, chain, expressions. */
const substance: Readonly<Record<number, readonly number[]>> = { 0: [1, 2], 3: [1, 3, 4, 5, 7], 6: [1, 2, 4] }

function setMessages(ofTable: Buffer, { name, family, addresses }: AddressSet, id: number): readonly Message[] {
  const chunks = Array.from({ length: Math.ceil(addresses.length / elementsAtOnce) }, (_, index) => addresses.slice(index * elementsAtOnce, (index + 1) * elementsAtOnce))
  const element = (each: string): Buffer => attribute(1, [attribute(1, [attribute(1, addressBytes(each))])])
  return [
    message(
      'newSet',
      flag.create,
      [ofTable, attribute(2, name), attribute(3, be32(0)), attribute(4, be32(keyType[family])), attribute(5, be32(family === 4 ? 4 : 16)), attribute(10, be32(id))],
      `add set ${name}`,
    ),
    ...chunks.map((chunk) => message('newElements', flag.create, [ofTable, attribute(2, name), attribute(4, be32(id)), attribute(3, chunk.map(element))], `add elements to ${name}`)),
  ]
}

function chainMessages(ofTable: Buffer, chain: Chain): readonly Message[] {
  const hook = [attribute(1, be32(hooks[chain.hook])), attribute(2, be32(chain.priority))]
  return [
    message('newChain', flag.create, [ofTable, attribute(3, chain.name), attribute(7, chain.type), attribute(5, be32(1)), attribute(4, hook)], `add chain ${chain.name}`),
    ...chain.rules.map((rule) =>
      message(
        'newRule',
        flag.create | flag.append,
        [ofTable, attribute(2, chain.name), attribute(4, rule.flatMap((statement) => statement.expressions))],
        `add rule to ${chain.name}: ${rule.map((statement) => statement.text).join(' ')}`,
      ),
    ),
  ]
}

function message(name: keyof typeof call, flags: number, attributes: readonly Buffer[], about: string): Message {
  return { type: nfTables | call[name], flags, body: Buffer.concat([netfilterHeader(inet, 0), ...attributes]), about }
}

/** `messages` between the two that make a batch of them. */
export function batch(messages: readonly Message[]): readonly Message[] {
  const edge = (type: number): Message => ({ type, flags: 0, body: netfilterHeader(0, 10), about: 'batch' })
  return [edge(16), ...messages, edge(17)]
}
