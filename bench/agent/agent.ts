import { systemClock } from '../../src/kit/clock.ts'
import { collectLess } from '../../src/kit/collections.ts'
import type { CredentialSource, Credentials } from '../../src/model/credentials.ts'
import { entryKey, type Entry, type WorkloadEntry } from '../../src/model/entries.ts'
import { formatSpiffeId } from '../../src/model/identity.ts'
import { loopbackPod } from '../../src/node/testing/sockets.ts'
import { guardsOf } from '../../src/node/traffic/guards.ts'
import { createLoads } from '../../src/node/traffic/loads.ts'
import { createCapturedPod, type CapturedPod } from '../../src/node/traffic/pod.ts'
import { compileView } from '../../src/node/traffic/view.ts'
import { ConnectionCounters } from '../../src/telemetry/connection-counters.ts'
import { runScript } from '../children.ts'

export interface AgentOptions {
  readonly credentials: Credentials
  /** Captured pods; the first one is measured. */
  readonly pods: number
  /** Where everything goes that the pods send. */
  readonly going?: { readonly host: string; readonly port: number }
}

/** What the process answers to a command. */
export interface AgentAnswer {
  /** Of the first pod. */
  readonly address: string
  readonly identity: string
  readonly hbonePort: number
  /** Bytes. */
  readonly rss: number
}

/** Told afterwards: where what the first pod sends goes, and who may send to it. */
export interface AgentCommand {
  /** Undefined: nothing is sent. */
  readonly to?: Destination
  /** What the agent knows beside its pods, in place of that. */
  readonly entries?: readonly Entry[]
}

/** The Service that everything is sent to has this one endpoint. */
export interface Destination {
  readonly address: string
  readonly port: number
  readonly identity: string
  readonly hbonePort?: number
}

const anywhere = { host: '10.96.0.1', port: 80 }

/** An agent with its pods on loopback: a real data plane, plain sockets instead of namespaces. Counts and judges as in a cluster. */
runScript<AgentOptions>(async ({ credentials, pods, going = anywhere }) => {
  // What an agent has loaded beside its data plane: it counts as memory.
  await import('../../src/cli/agent.ts')
  await import('../../src/node/native/pod-network.ts')
  collectLess(systemClock)
  const identity = formatSpiffeId(credentials.identity)
  const loads = createLoads({ now: systemClock.now, random: Math.random })
  const telemetry = new ConnectionCounters()
  // Credentials that never change: a run is shorter than their life.
  const source: CredentialSource = { identity: credentials.identity, current: () => credentials, onChange: () => () => {} }
  const made: { readonly captured: CapturedPod; readonly workload: WorkloadEntry }[] = []
  for (let at = 0; at < pods; at++) {
    const { address, network } = loopbackPod(false)
    const captured = createCapturedPod({ network, originalDestination: () => going, clock: systemClock, telemetry, loads })
    await captured.certify(source)
    await captured.start()
    const { namespace, serviceAccount } = credentials.identity
    made.push({ captured, workload: { kind: 'workload', namespace, name: `pod-${at}`, addresses: [address], serviceAccount, identity, enrolled: true, policies: [`policy/${namespace}/allow`] } })
  }
  process.on('message', ({ to, entries: others }: AgentCommand) => {
    const { namespace } = credentials.identity
    const entries: Entry[] = made.map(({ workload }) => workload)
    entries.push({ kind: 'policy', namespace, name: 'allow', action: 'allow', rules: [{ from: [{ namespaces: ['other', namespace] }] }] })
    entries.push(...(others ?? backendAt(going, namespace, to)))
    const snapshot = new Map(entries.map((entry) => [entryKey(entry), entry]))
    const view = compileView(snapshot, { node: 'n1', unknown: 'refuse' })
    for (const { captured, workload } of made) captured.update({ view, guards: guardsOf(workload, snapshot) })
    globalThis.gc?.()
    process.send?.({ address: made[0]?.workload.addresses[0] ?? '', identity, hbonePort: 15008, rss: process.memoryUsage().rss } satisfies AgentAnswer)
  })
  return { port: 15001 }
})

/** A Service with one endpoint, or none. */
function backendAt({ host, port }: NonNullable<AgentOptions['going']>, namespace: string, to: Destination | undefined): Entry[] {
  const endpoints = to === undefined ? [] : [{ address: to.address, port: to.port, condition: 'ready' as const, transport: { kind: 'hbone' as const, port: to.hbonePort ?? 15008, identity: to.identity } }]
  return [
    { kind: 'service', namespace, name: 'backend', clusterIPs: [host], headless: false, ports: [{ port, protocol: 'auto' }] },
    { kind: 'endpoints', namespace, name: 'backend', ports: [{ port, endpoints }] },
  ]
}
