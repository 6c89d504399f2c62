import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { forgetMarked } from '../conntrack.ts'
import { encode, type Message } from '../netlink.ts'
import { podTable, replyMark } from '../pod.ts'
import { probeTable } from '../probes.ts'
import { removeReplyRouting, replyRouting } from '../routing.ts'
import { replaceTable, tableText, type Table } from '../table.ts'

/** Where the golden files are. */
export const goldenFolder = new URL('../testdata/', import.meta.url)

const lines = (messages: readonly Message[]): string => messages.map((message, index) => `${message.about}\n  ${encode(message, index + 1).toString('hex')}\n`).join('')
const both = (table: Table): string => `${tableText(table)}\n${lines(replaceTable(table))}`

/** Rules as text and as what is sent. That both mean the same is proven in network namespaces: `npm run test:net`. */
export const goldens: readonly { readonly file: string; readonly render: () => string }[] = [
  { file: 'pod.txt', render: () => both(podTable(0xdeadbeef)) },
  { file: 'pod-released.txt', render: () => both(podTable(0xdeadbeef, { redirects: false })) },
  { file: 'node.txt', render: () => both(probeTable(['fd00::1', '10.1.2.4', '10.1.2.3', '10.1.2.4'])) },
  { file: 'node-empty.txt', render: () => both(probeTable([])) },
  { file: 'forget.txt', render: () => lines([forgetMarked(replyMark)]) },
  { file: 'routing.txt', render: () => lines([...replyRouting(4), ...replyRouting(6), ...removeReplyRouting(4), ...removeReplyRouting(6)]) },
]

if (import.meta.main) for (const { file, render } of goldens) writeFileSync(fileURLToPath(new URL(file, goldenFolder)), render())
