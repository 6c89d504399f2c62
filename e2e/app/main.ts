import { parseArgs } from 'node:util'
import { drive } from './driver/main.ts'
import { startApplication } from './server.ts'

/**
 * The suite's application. `serve [--http P] [--grpc P] [--tcp P]`: answers that say what arrived; at SIGTERM it serves on until traffic has ceased.
 * `drive`: sends what it is told on stdin.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    http: { type: 'string', default: '8080' },
    grpc: { type: 'string', default: '9090' },
    tcp: { type: 'string', default: '9000' },
    quiet: { type: 'string', default: '2000' },
  },
})

if (positionals[0] === 'drive') {
  await drive()
} else {
  const application = await startApplication({ http: Number(values.http), grpc: Number(values.grpc), tcp: Number(values.tcp) })
  process.stderr.write(`${JSON.stringify({ serving: application.ports })}\n`)
  process.once('SIGTERM', () => {
    void application.end(Number(values.quiet), 25_000).then(() => process.exit(0))
  })
}
