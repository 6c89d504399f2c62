import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

describe('the command', () => {
  it('says everything to a reader that takes its time, as a pager does', async function () {
    this.timeout(60_000)
    const directory = mkdtempSync(join(tmpdir(), 'waymark-'))
    try {
      const services = Array.from({ length: 1000 }, (_, index) => ({
        apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'books', name: `service-${index}` }, spec: { clusterIP: `10.0.${index >> 8}.${index & 255}`, ports: [{ port: 80 }] },
      }))
      writeFileSync(join(directory, 'services.json'), JSON.stringify({ apiVersion: 'v1', kind: 'List', items: services }))
      const command = spawn(process.execPath, ['src/cli/main.ts', 'translate', '-f', directory, '-o', 'json'], { stdio: ['ignore', 'pipe', 'inherit'] })
      const closed = once(command, 'close')
      await once(command.stdout, 'readable')
      // Longer than forgotten handles are waited for.
      await sleep(3_000)
      assert.equal(command.exitCode, null, 'it ended before all was taken')
      let read = ''
      for await (const chunk of command.stdout) read += String(chunk)
      await closed
      assert.ok(read.length > 200_000, 'a pipe may hold all of it')
      assert.doesNotThrow(() => void JSON.parse(read))
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
