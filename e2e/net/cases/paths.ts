import assert from 'node:assert/strict'
import { isIPv6 } from 'node:net'
import { nodes, pods, services, type PodName } from '../lib/topology.ts'
import type { Rig } from '../lib/rig.ts'
import { applicationPorts } from '../testing/protocol.ts'
import { answered, type NetCase } from './case.ts'

/** One way from a pod to another, with everything captured that can be. */
interface Path {
  readonly name: string
  readonly from: PodName
  readonly host: string
  readonly port: number
  /** Who answers, and whom it sees. */
  readonly answers: PodName
  readonly sees: string
  /** What the agents of both nodes captured, in the order of the way. */
  readonly captured: readonly string[]
  readonly operation?: 'ask' | 'listenFirst' | 'datagram'
}

const { lines, first, datagrams } = applicationPorts
const at = (host: string, port: number): string => (isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`)

/** From a captured pod to another captured one. */
function both(name: string, from: PodName, to: PodName, host: string, port: number): Path {
  const six = isIPv6(host)
  const target = six ? pods[to].address6 : pods[to].address
  return {
    name, from, host, port, answers: to, sees: six ? pods[from].address6 : pods[from].address,
    captured: [`outbound ${from} → ${at(host, port)}`, `inbound ${to} → ${at(target, lines)}`],
  }
}

const captured = ['a', 'k', 'b', 'c'] as const
const pairs = captured.flatMap((from) => captured.filter((to) => to !== from).map((to) => [from, to] as const))

const paths: readonly Path[] = [
  ...pairs.flatMap(([from, to]) => [
    both(`cluster IP, ${from} to ${to}`, from, to, services[to].address, 80),
    both(`cluster IP by IPv6, ${from} to ${to}`, from, to, services[to].address6, 80),
    both(`pod IP, ${from} to ${to}`, from, to, pods[to].address, lines),
    both(`pod IP by IPv6, ${from} to ${to}`, from, to, pods[to].address6, lines),
  ]),
  { name: 'what does not concern the mesh is captured and passed on', from: 'a', host: services.stranger.address, port: 80, answers: 'stranger', sees: pods.a.address, captured: [`outbound a → ${at(services.stranger.address, 80)}`] },
  { name: 'a pod that is not captured reaches a captured one by cluster IP on the same node', from: 'plain', host: services.k.address, port: 80, answers: 'k', sees: pods.plain.address, captured: [`inbound k → ${at(pods.k.address, lines)}`] },
  { name: 'a pod that is not captured reaches a captured one on its own bridge', from: 'plain', host: pods.b.address, port: lines, answers: 'b', sees: pods.plain.address, captured: [`inbound b → ${at(pods.b.address, lines)}`] },
  { name: 'a pod that is not captured reaches one on another node, by IPv6', from: 'stranger', host: services.a.address6, port: 80, answers: 'a', sees: pods.stranger.address6, captured: [`inbound a → ${at(pods.a.address6, lines)}`] },
  { name: 'a pod calls its own Service (ptp)', from: 'a', host: services.a.address, port: 80, answers: 'a', sees: '10.61.1.1', captured: [`outbound a → ${at(services.a.address, 80)}`, `inbound a → ${at(pods.a.address, lines)}`] },
  { name: 'a pod calls its own Service (Calico)', from: 'k', host: services.k.address, port: 80, answers: 'k', sees: nodes[1].address, captured: [`outbound k → ${at(services.k.address, 80)}`, `inbound k → ${at(pods.k.address, lines)}`] },
  { name: 'a pod\'s own address is not captured', from: 'a', host: pods.a.address, port: lines, answers: 'a', sees: pods.a.address, captured: [] },
  { name: 'a pod\'s own IPv6 address is not captured', from: 'a', host: pods.a.address6, port: lines, answers: 'a', sees: pods.a.address6, captured: [] },
  { name: 'loopback is not captured', from: 'a', host: '127.0.0.1', port: lines, answers: 'a', sees: '127.0.0.1', captured: [] },
  { name: 'loopback by IPv6 is not captured', from: 'a', host: '::1', port: lines, answers: 'a', sees: '::1', captured: [] },
  { name: 'UDP is not captured', from: 'a', host: pods.c.address, port: datagrams, answers: 'c', sees: pods.a.address, captured: [], operation: 'datagram' },
  { name: 'UDP by IPv6 is not captured', from: 'k', host: pods.c.address6, port: datagrams, answers: 'c', sees: pods.k.address6, captured: [], operation: 'datagram' },
  { name: 'an application may speak first', from: 'a', host: pods.c.address, port: first, answers: 'c', sees: pods.a.address, captured: [`outbound a → ${at(pods.c.address, first)}`, `inbound c → ${at(pods.c.address, first)}`], operation: 'listenFirst' },
]

async function walk({ pods: processes, everywhere }: Rig, { from, host, port, answers, sees, captured: expected, operation = 'ask' }: Path): Promise<void> {
  const agents = await everywhere()
  const seen = async (): Promise<readonly string[]> => (await Promise.all([agents[1].captured(), agents[2].captured()])).flat().sort()
  await seen()
  answered(await processes[from].ask(operation, { host, port }), answers, sees)
  assert.deepEqual(await seen(), [...expected].sort())
}

/** Where a connection goes, who captures it, and whose address is seen at its end. */
export const cases: readonly NetCase[] = paths.map((path) => ({ name: path.name, run: (rig) => walk(rig, path) }))
