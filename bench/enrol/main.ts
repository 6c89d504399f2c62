import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { runInside } from '../../e2e/net/lib/inside.ts'
import { announce, startMesh, until, type Mesh, type Process } from '../../e2e/net/lib/mesh.ts'
import { namespaceObject, podObject } from '../../e2e/net/lib/objects.ts'
import { build, shell } from '../../e2e/net/lib/topology.ts'
import type { KubeObject } from '../../src/kube/object.ts'
import { capturedAnnotation } from '../../src/model/install.ts'
import { systemBusyMs } from '../procfs.ts'
import { resultsFile, writeSection } from '../section.ts'
import { enrolReport, type Enrolment } from './report.ts'
import { enrolHeading } from './section.ts'

const usage = `bench:enrol [--pods N] [--rounds N] [--workers N] [--print]: how long it takes until all pods of a node that is full are captured, and what an agent costs that has nothing to do then
  --pods N     pods on the node (100)
  --rounds N   rounds of each kind (5)
  --workers N  threads of the agent (1); the section is not written with more
  --print      print the section, do not write it into RESULTS.md`

const namespace = 'crowd'
const idleSeconds = 5

/** CPU time of a process so far, milliseconds, and its memory, MiB. Source: proc(5). */
function costOf({ pid }: Process): { readonly cpuMs: number; readonly mib: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  const memory = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return { cpuMs: (Number(fields[11]) + Number(fields[12])) * 10, mib: Number(memory) / 1024 }
}

interface CrowdPod {
  readonly name: string
  readonly node: 1
  readonly address: string
  readonly address6: string
}

/** Network namespaces without applications. */
function makePods(count: number): readonly CrowdPod[] {
  const pods = Array.from({ length: count }, (_, index) => ({ name: `p${index}`, node: 1 as const, address: `10.62.${index >> 8}.${index & 255}`, address6: `fd00:62::${(index + 1).toString(16)}` }))
  shell(pods.map(({ name, address, address6 }) => `ip netns add ${name}; ip -n ${name} link set lo up; ip -n ${name} link add eth0 type veth peer name other; ip -n ${name} link set other up; ip -n ${name} addr add ${address}/32 dev eth0; ip -n ${name} addr add ${address6}/128 dev eth0 nodad; ip -n ${name} link set eth0 up`).join('\n'))
  return pods
}

async function enrol(mesh: Mesh, workers: string, pods: readonly CrowdPod[], accountOf: (name: string) => string, { firstMs, allMs, cpuMs, beforeMib, afterMib, idleMs }: Enrolment): Promise<void> {
  const { control } = mesh
  const objects: KubeObject[] = pods.map(({ name, node, address, address6 }) => podObject({ namespace, name, node, addresses: [address, address6], serviceAccount: accountOf(name) }))
  await control('put', [namespaceObject(namespace, false), ...objects])
  for (const pod of pods) announce(pod, { uid: `uid-${pod.name}`, namespace })
  const agent = await mesh.agent(1, ['--workers', workers])
  await pause(1_000)
  const before = costOf(agent)
  const beganMs = performance.now()
  await control('put', [namespaceObject(namespace, true)])
  let first: number | undefined
  await until(() => `not all are captured: ${agent.said.slice(-3).join('; ')}`, async () => {
    const captured = (await control('list', { kind: 'Pod', namespace })).filter(({ metadata }) => metadata.annotations?.[capturedAnnotation] === 'true').length
    if (captured > 0) first ??= performance.now() - beganMs
    return captured === pods.length
  })
  allMs.push(performance.now() - beganMs)
  firstMs.push(first ?? NaN)
  const after = costOf(agent)
  cpuMs.push(after.cpuMs - before.cpuMs)
  beforeMib.push(before.mib)
  afterMib.push(after.mib)
  await pause(idleSeconds * 1000)
  idleMs.push((costOf(agent).cpuMs - after.cpuMs) / idleSeconds)
  await agent.kill()
  shell(pods.map(({ name }) => `ip netns exec ${name} nft delete table inet waymark; ip -n ${name} rule del priority 15006; ip -n ${name} -6 rule del priority 15006`).join('\n'))
}

async function measure({ pods: count, rounds, workers, print }: { readonly pods: number; readonly rounds: number; readonly workers: string; readonly print: boolean }): Promise<void> {
  build()
  const pods = makePods(count)
  const mesh = await startMesh()
  const made = (what: string): Enrolment => ({ what, firstMs: [], allMs: [], cpuMs: [], beforeMib: [], afterMib: [], idleMs: [] })
  const kinds = [[made('a service account for each'), (name: string) => name], [made('one service account'), () => 'app']] as const
  const start = { wallMs: performance.now(), busyMs: systemBusyMs() }
  for (let round = 1; round <= rounds; round++) {
    for (const [enrolment, accountOf] of kinds) {
      await enrol(mesh, workers, pods, accountOf, enrolment)
      console.log(`${enrolment.what}, round ${round} of ${rounds}: ${(enrolment.allMs.at(-1) ?? NaN).toFixed(0)} ms`)
    }
  }
  await mesh.close()
  const busy = (systemBusyMs() - start.busyMs) / ((performance.now() - start.wallMs) * cpus().length)
  const section = enrolReport(kinds.map(([enrolment]) => enrolment), { pods: count, busy })
  process.stdout.write(section)
  if (!print) writeSection(resultsFile, enrolHeading, section)
}

const { values } = parseArgs({
  options: {
    pods: { type: 'string', default: '100' }, rounds: { type: 'string', default: '5' }, workers: { type: 'string', default: '1' }, print: { type: 'boolean', default: false },
    inside: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false },
  },
})
if (values.help) console.log(usage)
else if (!values.inside) process.exitCode = await runInside('bench:enrol', [process.execPath, import.meta.filename, '--inside', ...process.argv.slice(2)])
else {
  await measure({ pods: Number(values.pods), rounds: Number(values.rounds), workers: values.workers, print: values.print || values.workers !== '1' })
  process.exit()
}
