import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './cluster.ts'
import { run, type CommandOptions } from './command.ts'
import type { Kube } from './kube.ts'

/** Runs `waymark VERB …` of this checkout against the cluster; its stderr comes too, for that is where it talks. */
export type Waymark = (args: readonly string[], options?: Pick<CommandOptions, 'timeoutMs' | 'signal'>) => Promise<{ readonly stdout: string; readonly stderr: string }>

/**
 * Gives `work` the command line. It reaches the API server by way of the suite's own kubectl, because on some machines nothing but
 * kubectl does: through a port of this machine that is open for that long.
 */
export async function withWaymark<T>(kube: Kube, work: (waymark: Waymark) => Promise<T>): Promise<T> {
  const bridge = createServer((client) => {
    const proxy = connect(kube.socketPath)
    for (const socket of [client, proxy]) {
      socket.on('error', () => {
        client.destroy()
        proxy.destroy()
      })
    }
    client.pipe(proxy).pipe(client)
  })
  await new Promise<void>((resolve) => bridge.listen(0, '127.0.0.1', resolve))
  const folder = mkdtempSync(join(tmpdir(), 'waymark-e2e-cli-'))
  const kubeconfig = join(folder, 'kubeconfig')
  const named = { name: 'e2e' }
  writeFileSync(kubeconfig, JSON.stringify({
    'apiVersion': 'v1', 'kind': 'Config', 'current-context': 'e2e',
    'clusters': [{ ...named, cluster: { 'server': `http://127.0.0.1:${(bridge.address() as AddressInfo).port}`, 'insecure-skip-tls-verify': true } }],
    'contexts': [{ ...named, context: { cluster: 'e2e', user: 'e2e' } }],
    'users': [{ ...named, user: {} }],
  }))
  try {
    return await work((args, options = {}) => run(process.execPath, [join(root, 'src/cli/main.ts'), ...args, '--kubeconfig', kubeconfig], { cwd: root, ...options }))
  } finally {
    bridge.close()
    rmSync(folder, { recursive: true, force: true })
  }
}
