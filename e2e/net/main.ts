import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * `npm run test:net`: the node agent in real network namespaces. Everything happens in a mount and a network namespace of its own, so nothing of it is
 * seen on the machine, nothing leaves it, and all of it is gone with the last process, however that ends.
 * Arguments are mocha's: `npm run test:net -- --grep hairpin`.
 */
async function main(args: readonly string[]): Promise<number> {
  const missing = whatIsMissing()
  if (missing.length > 0) {
    for (const each of missing) console.error(`test:net can not run: ${each}`)
    return 1
  }
  const mocha = join(import.meta.dirname, '../../node_modules/mocha/bin/mocha.js')
  const suite = join(import.meta.dirname, 'suite.ts')
  // --exit: what a failed case left open must not keep it alive.
  const command = [process.execPath, mocha, '--no-config', '--exit', '--forbid-only', '--forbid-pending', '--timeout', '60000', ...args, suite]
  const child = spawn('unshare', ['--mount', '--net', '--pid', '--fork', '--mount-proc', '--kill-child', '--', ...command], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      child.kill('SIGKILL')
      process.exit(1)
    })
  }
  const [code] = (await once(child, 'exit')) as [number | null]
  return code ?? 1
}

/** What the rig needs and does not have, with what to do about it. */
function whatIsMissing(): readonly string[] {
  if (process.platform !== 'linux') return ['network namespaces are Linux\'s']
  const missing: string[] = []
  if (process.getuid?.() !== 0) missing.push('it must run as root: try sudo npm run test:net')
  const held = BigInt(`0x${/^CapEff:\s*(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`)
  for (const [name, bit] of [['CAP_NET_ADMIN', 12n], ['CAP_SYS_ADMIN', 21n]] as const) {
    if ((held & (1n << bit)) === 0n) missing.push(`${name} is missing: in a container, run it with --privileged or --cap-add`)
  }
  for (const [tool, argument, from] of [['ip', '-V', 'iproute2'], ['nft', '--version', 'nftables'], ['unshare', '--version', 'util-linux']] as const) {
    if (spawnSync(tool, [argument]).status !== 0) missing.push(`${tool} is not there: apt-get install ${from}`)
  }
  return missing
}

process.exitCode = await main(process.argv.slice(2))
