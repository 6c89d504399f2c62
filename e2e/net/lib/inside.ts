import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'

/**
 * Runs a command in a mount, a process and a network namespace of its own, so that nothing of it is seen on the machine, nothing leaves it, and all of it
 * is gone with the last process, however that ends.
 * @returns its exit code; 1 also if something is missing that it needs, which is said
 */
export async function runInside(name: string, command: readonly string[]): Promise<number> {
  const missing = whatIsMissing()
  if (missing.length > 0) {
    for (const each of missing) console.error(`${name} can not run: ${each.replace('NAME', name)}`)
    return 1
  }
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
  if (process.getuid?.() !== 0) missing.push('it must run as root: try sudo npm run NAME')
  const held = BigInt(`0x${/^CapEff:\s*(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`)
  for (const [name, bit] of [['CAP_NET_ADMIN', 12n], ['CAP_SYS_ADMIN', 21n]] as const) {
    if ((held & (1n << bit)) === 0n) missing.push(`${name} is missing: in a container, run it with --privileged or --cap-add`)
  }
  for (const [tool, argument, from] of [['ip', '-V', 'iproute2'], ['nft', '--version', 'nftables'], ['unshare', '--version', 'util-linux']] as const) {
    if (spawnSync(tool, [argument]).status !== 0) missing.push(`${tool} is not there: apt-get install ${from}`)
  }
  return missing
}
