import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { capturedAnnotation, install, ports } from '../../../src/model/install.ts'
import type { ControlOperation, ControlOperations } from '../testing/control-protocol.ts'
import { membersOf, objects, podObject, waypointPod } from './objects.ts'
import { converse, end } from './pods.ts'
import { nodeNamespace, nodes, waypointPlace, type PodName } from './topology.ts'

const root = join(import.meta.dirname, '../../..')
const folder = '/run/mesh'

/** A line of an agent's log about one connection. Source: src/telemetry/connections.ts. */
export interface Line {
  readonly direction: 'outbound' | 'inbound' | 'plaintext'
  readonly outcome: string
  readonly reason?: string
  readonly transport?: string
  readonly via?: string
  readonly source?: string
  readonly source_id?: string
  readonly destination_address?: string
  readonly service?: string
}

/** A `waymark agent` or `waymark waypoint`. */
export interface Process {
  readonly pid: number
  /** What it has told of connections so far. */
  readonly lines: readonly Line[]
  /** What it has said of itself. */
  readonly said: readonly string[]
  /** SIGTERM, and gone. */
  readonly stop: () => Promise<void>
  /** SIGKILL, and gone. */
  readonly kill: () => Promise<void>
}

/** The whole mesh on the rig: a simulated API server, a real controller, and real agents and waypoints. */
export interface Mesh {
  readonly control: <Name extends ControlOperation>(operation: Name, spec: ControlOperations[Name]['spec']) => Promise<ControlOperations[Name]['result']>
  /** Starts an agent, beside those that run. Resolves when every pod that shall be captured is. @param options more of the command's */
  readonly agent: (node: 1 | 2, options?: readonly string[]) => Promise<Process>
  /** Starts the waypoint of a namespace, and makes it known. @param environment `NAME=value`, more of the process's */
  readonly waypoint: (namespace: string, environment?: readonly string[]) => Promise<Process>
  /** Resolves when the controllers say that all these pods are captured, or that none of them is. */
  readonly captured: (names: readonly PodName[], are?: boolean) => Promise<void>
  /** Where a node has what a real one has in `/run/netns`, `/var/lib/cni`, `/etc/cni` and so on. */
  readonly paths: (node: 1 | 2) => NodeFolders
  readonly close: () => Promise<void>
}

export interface NodeFolders {
  readonly namespaces: string
  readonly results: string
  readonly host: string
  readonly configurations: string
  readonly binaries: string
}

/** Looks until `is` says true. @throws what `why` says, after 40 s */
export async function until(why: () => string, is: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 40_000
  while (!(await is())) {
    if (performance.now() > endMs) throw new Error(why())
    await pause(20)
  }
}

const pathsOf = (node: 1 | 2): NodeFolders => {
  const own = join(folder, nodeNamespace(node))
  return { namespaces: `${own}/netns`, results: `${own}/results`, host: `${own}/host`, configurations: `${own}/net.d`, binaries: `${own}/bin` }
}

/** Tells a node of a pod, as a container runtime does when it has made its sandbox. */
export function announce(pod: { readonly name: string; readonly node: 1 | 2; readonly address: string; readonly address6: string }, { uid, namespace }: { readonly uid: string; readonly namespace: string }): void {
  const { namespaces, results } = pathsOf(pod.node)
  if (!existsSync(`${namespaces}/${pod.name}`)) symlinkSync(`/run/netns/${pod.name}`, `${namespaces}/${pod.name}`)
  writeFileSync(`${results}/rig-${pod.name}-eth0`, JSON.stringify({
    kind: 'cniCacheV1', containerId: pod.name, ifName: 'eth0', netns: `/run/netns/${pod.name}`,
    cniArgs: [['K8S_POD_NAMESPACE', namespace], ['K8S_POD_NAME', pod.name], ['K8S_POD_UID', uid]],
    result: { ips: [{ address: `${pod.address}/32` }, { address: `${pod.address6}/128` }] },
  }))
}

/** Starts the control plane, which knows all pods and Services; no namespace is in the mesh yet, and no agent runs. @param svidSeconds how long certificates live */
export async function startMesh(svidSeconds = 3_600): Promise<Mesh> {
  rmSync(folder, { recursive: true, force: true })
  for (const node of [1, 2] as const) {
    for (const path of Object.values<string>({ ...pathsOf(node) })) mkdirSync(path, { recursive: true })
    writeFileSync(`${pathsOf(node).configurations}/10-rig.conflist`, '{"cniVersion":"1.0.0","name":"rig","plugins":[{"type":"ptp"}]}')
  }
  const controller = spawn('ip', ['netns', 'exec', 'node1', process.execPath, join(root, 'e2e/net/testing/control.ts'), nodes[1].address, String(svidSeconds)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const control = (await converse(controller, 'the control plane')) as Mesh['control']
  await control('put', objects())
  for (const { pod, namespace } of membersOf()) announce(pod, { uid: `uid-${pod.name}`, namespace })
  writeFileSync(`${folder}/ca.crt`, await control('bundle', {}))
  const processes: Process[] = []
  let number = 0

  /** Runs a verb of the command on a node or in a pod. */
  const run = async (namespace: string, pod: { readonly namespace: string; readonly name: string }, args: readonly string[], ready: (said: readonly string[]) => boolean, environment: readonly string[] = []): Promise<Process> => {
    const token = `${folder}/${pod.name}.token`
    writeFileSync(token, await control('token', pod))
    const common = ['--namespace', pod.namespace, '--pod', pod.name, '--token-file', token, '--bundle-file', `${folder}/ca.crt`, '--state', `${folder}/${pod.name}.state`, '--access-log', 'json', '--metrics-port', 'none']
    const command = [process.execPath, join(root, 'src/cli/main.ts'), args[0] ?? '', ...common, ...args.slice(1)]
    const child = spawn('ip', ['netns', 'exec', namespace, 'env', ...environment, ...command], { stdio: ['ignore', 'pipe', 'pipe'] })
    const lines: Line[] = []
    const said: string[] = []
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line) as Line))
    createInterface({ input: child.stderr }).on('line', (line) => said.push(line))
    const made: Process = { pid: child.pid ?? 0, lines, said, stop: () => end(child, 'SIGTERM'), kill: () => end(child, 'SIGKILL') }
    processes.push(made)
    const over = once(child, 'exit').then(([code]) => {
      throw new Error(`${pod.name} ended (${String(code)}): ${said.join('; ')}`)
    })
    over.catch(() => {})
    await Promise.race([over, until(() => `${pod.name} is not ready: ${said.join('; ')}`, () => ready(said))])
    return made
  }

  return {
    control,
    paths: pathsOf,
    agent: async (node, options = []) => {
      const { namespaces, results, host, configurations, binaries } = pathsOf(node)
      const name = `agent-${node}-${++number}`
      await control('put', [podObject({ namespace: install.namespace, name, node, serviceAccount: install.agent, addresses: [nodes[node].address], hostNetwork: true })])
      const ready = `${folder}/${name}.ready`
      // One of them dials the controller by IPv6.
      const controllerAt = node === 1 ? `${nodes[1].address}:${ports.control}` : `[${nodes[1].address6}]:${ports.control}`
      return run(nodeNamespace(node), { namespace: install.namespace, name }, [
        'agent', '--node', nodeNamespace(node), '--controller', controllerAt, '--netns', namespaces, '--cni-results', results, '--host-proc', '/proc', '--host-dir', host, '--host-dir-on-node', host,
        '--cni-conf', configurations, '--cni-bin', binaries, '--drain', '10', '--ready-file', ready,
        // Whatever holds, holds in one thread and in several.
        '--workers', node === 1 ? '2' : '1', ...options,
      ], () => existsSync(ready))
    },
    waypoint: async (namespace, environment) => {
      const name = `waypoint-${++number}`
      await control('put', waypointPod(namespace, name))
      return run(waypointPlace.name, { namespace, name }, ['waypoint', '--name', 'waypoint', '--controller', `${nodes[1].address}:${ports.control}`, '--host', '::', '--ready-port', 'none', '--admin-port', 'none', '--drain', '1', '--linger', '0'],
        (said) => said.some((line) => line.includes(`waypoint ${namespace}/waypoint on`)), environment)
    },
    captured: (names, are = true) => {
      const all = membersOf().filter(({ pod }) => (names as readonly string[]).includes(pod.name))
      return until(() => `${names.join()} are ${are ? 'not' : 'still'} captured: ${processes.flatMap(({ said }) => said).join('; ')}`, async () => {
        const found = await Promise.all(all.map(({ pod, namespace }) => control('get', { kind: 'Pod', namespace, name: pod.name })))
        return found.every((each) => (each?.metadata.annotations?.[capturedAnnotation] === 'true') === are)
      })
    },
    close: async () => {
      await Promise.all(processes.map((each) => each.kill()))
      await end(controller, 'SIGKILL')
    },
  }
}
