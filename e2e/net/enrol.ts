import { readFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import type { KubeObject } from '../../src/kube/object.ts'
import { capturedAnnotation } from '../../src/model/install.ts'
import { runInside } from './lib/inside.ts'
import { announce, startMesh, until, type Mesh, type Process } from './lib/mesh.ts'
import { namespaceObject, podObject } from './lib/objects.ts'
import { build, shell } from './lib/topology.ts'

/**
 * `npm run bench:enrol [PODS]`: how long it takes until all pods of a node that is full are captured, from the label on their namespace to the annotation
 * on the last of them, and what an agent costs that has nothing to do then. A real agent and a real controller; namespaces without applications.
 */
const inside = '--inside'
const namespace = 'crowd'

/** CPU time of a process so far, milliseconds, and its memory, MiB. Source: proc(5). */
function costOf({ pid }: Process): { readonly cpuMs: number; readonly mib: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  const memory = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return { cpuMs: (Number(fields[11]) + Number(fields[12])) * 10, mib: Number(memory) / 1024 }
}

async function enrol({ control }: Mesh, agent: Process, pods: readonly string[]): Promise<string> {
  const before = costOf(agent)
  const beganMs = performance.now()
  await control('put', [namespaceObject(namespace, true)])
  let firstMs: number | undefined
  await until(() => `not all are captured: ${agent.said.slice(-3).join('; ')}`, async () => {
    const captured = (await control('list', { kind: 'Pod', namespace })).filter(({ metadata }) => metadata.annotations?.[capturedAnnotation] === 'true').length
    if (captured > 0) firstMs ??= performance.now() - beganMs
    return captured === pods.length
  })
  const tookMs = performance.now() - beganMs
  const after = costOf(agent)
  return `${(tookMs / 1000).toFixed(2)} s, the first after ${((firstMs ?? 0) / 1000).toFixed(2)} s; CPU of the agent ${(after.cpuMs - before.cpuMs) / 1000} s, memory ${after.mib.toFixed(0)} MiB (${before.mib.toFixed(0)} before)`
}

async function measure(count: number): Promise<void> {
  build()
  const pods = Array.from({ length: count }, (_, index) => ({ name: `p${index}`, node: 1 as const, address: `10.62.${index >> 8}.${index & 255}`, address6: `fd00:62::${(index + 1).toString(16)}` }))
  shell(pods.map(({ name, address, address6 }) => `ip netns add ${name}; ip -n ${name} link set lo up; ip -n ${name} link add eth0 type veth peer name other; ip -n ${name} link set other up; ip -n ${name} addr add ${address}/32 dev eth0; ip -n ${name} addr add ${address6}/128 dev eth0 nodad; ip -n ${name} link set eth0 up`).join('\n'))
  const mesh = await startMesh()
  const put = async (accountOf: (name: string) => string): Promise<void> => {
    const objects: KubeObject[] = pods.map(({ name, node, address, address6 }) => podObject({ namespace, name, node, addresses: [address, address6], serviceAccount: accountOf(name) }))
    await mesh.control('put', [namespaceObject(namespace, false), ...objects])
  }
  for (const [what, accountOf] of [['a service account for each', (name: string) => name], ['one service account', () => 'app']] as const) {
    await put(accountOf)
    for (const pod of pods) announce(pod, { uid: `uid-${pod.name}`, namespace })
    const agent = await mesh.agent(1, ['--workers', '1'])
    await pause(1_000)
    console.log(`${count} pods, ${what}: ${await enrol(mesh, agent, pods.map(({ name }) => name))}`)
    const before = costOf(agent)
    await pause(10_000)
    console.log(`  and then, with nothing to do: ${((costOf(agent).cpuMs - before.cpuMs) / 10).toFixed(1)} ms of CPU a second; load of the machine ${loadavg()[0]?.toFixed(1) ?? ''}`)
    await agent.kill()
    shell(pods.map(({ name }) => `ip netns exec ${name} nft delete table inet waymark; ip -n ${name} rule del priority 15006; ip -n ${name} -6 rule del priority 15006`).join('\n'))
  }
  await mesh.close()
}

const [first, second] = process.argv.slice(2)
if (first === inside) {
  await measure(Number(second ?? 100))
  process.exit()
}
process.exitCode = await runInside('bench:enrol', [process.execPath, import.meta.filename, inside, first ?? '100'])
