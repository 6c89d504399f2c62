import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { tries } from '../examples/tries.ts'

/** Runs `npm start` and then every line that it prints for pasting, by a shell, and judges what comes out. */

const readyWithinMs = 60_000
const eachWithinMs = 60_000
const shell = promisify(execFile)

const child = spawn('npm', ['start', '--silent', '--', '--any-port'], { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
const late = setTimeout(() => child.kill(), readyWithinMs)
const lines: string[] = []
for await (const line of createInterface({ input: child.stdout })) {
  lines.push(line)
  if (line.startsWith('Ready.')) break
}
clearTimeout(late)

let failed = 0
let passed = 0
// Only titles and judgements are taken from the list; the commands are those that were printed.
for (const { title, holds, expect } of tries({ books: '', shop: '', readingClub: '', waypoint: '' })) {
  const command = lines[lines.indexOf(`# ${title}`) + 1]
  const output = command === undefined ? 'it was not printed' : (await shell('bash', ['-c', command], { timeout: eachWithinMs })).stdout
  if (command !== undefined && holds(output)) passed++
  else failed++
  process.stdout.write(`${command !== undefined && holds(output) ? 'ok' : 'NOT OK'}: ${title}\n`)
  if (!holds(output)) process.stdout.write(`  ran: ${command ?? ''}\n  expected: ${expect}\n  saw: ${output}\n`)
}
const ended = once(child, 'exit')
// The whole group: npm, the shell it starts, and the mesh.
if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM')
await ended
process.stdout.write(`tour: ${passed} held, ${failed} did not\n`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
