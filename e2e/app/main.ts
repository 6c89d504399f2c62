import { parseArgs } from 'node:util'
import { ask } from './driver/ask.ts'
import { drive } from './driver/main.ts'
import { startApplication } from './server.ts'

/**
 * The suite's application. `serve [--http P] [--grpc P] [--tcp P] [--udp P]`: answers that say what arrived; at SIGTERM it serves on until traffic has ceased.
 * `drive`: sends what it is told on stdin. `ask [-n COUNT] [-H NAME:VALUE] URL`: for people, through the entry of the pod.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    http: { type: 'string', default: '8080' },
    grpc: { type: 'string', default: '9090' },
    tcp: { type: 'string', default: '9000' },
    udp: { type: 'string', default: '9053' },
    answer: { type: 'string', default: '200' },
    number: { type: 'string', short: 'n', default: '1' },
    header: { type: 'string', short: 'H', multiple: true, default: [] },
    quiet: { type: 'string', default: '2000' },
  },
})

if (positionals[0] === 'drive') {
  await drive()
} else if (positionals[0] === 'ask') {
  process.stdout.write(await ask(positionals[1] ?? '', Number(values.number), values.header))
} else {
  const application = await startApplication({ http: Number(values.http), grpc: Number(values.grpc), tcp: Number(values.tcp), udp: Number(values.udp) }, Number(values.answer))
  process.stderr.write(`${JSON.stringify({ serving: application.ports })}\n`)
  process.once('SIGTERM', () => {
    void application.end(Number(values.quiet), 25_000).then(() => process.exit(0))
  })
}
