import { join } from 'node:path'
import { connect } from 'node:net'
import { systemClock } from '../../src/kit/clock.ts'
import { formatSpiffeId } from '../../src/model/identity.ts'
import { install } from '../../src/model/install.ts'
import type { Snapshot } from '../../src/model/snapshot.ts'
import { joinMesh } from '../../src/publish/join.ts'
import { runScript } from '../children.ts'
import { monotonicMs, sleep } from './clock.ts'
import { startRelay } from './relay.ts'
import { namespaceName } from './world.ts'

export interface SubscribersOptions {
  readonly trustDomain: string
  /** Where the controller will listen, on loopback. */
  readonly controllerPort: number
  readonly bundleFile: string
  /** A folder with `token-N` and, for its state, `state-N` for namespace number N. */
  readonly directory: string
  /** Numbers of the namespaces whose waypoint is played. */
  readonly namespaces: readonly number[]
}

export type SubscribersCommand =
  | { readonly type: 'bytes' }
  /** Joins as soon as the controller takes connections. @see SubscribersEvent `first` */
  | { readonly type: 'join' }

/** What the process tells. */
export type SubscribersEvent =
  /** Every subscriber has its first snapshot; `firstAtMs`: when the first of them had. */
  | { readonly type: 'first'; readonly atMs: number; readonly firstAtMs: number; readonly entries: number }
  /** The waypoint of namespace 1 runs that edition of the route that is edited. */
  | { readonly type: 'edition'; readonly edition: number; readonly atMs: number }
  | { readonly type: 'bytes'; readonly bytes: number }
  | { readonly type: 'trouble'; readonly message: string }

const tell = (event: SubscribersEvent): void => void process.send?.(event)

/** Waypoints' side of the stream, many in one process; nothing is done with what they get. */
runScript<SubscribersOptions>(async (options) => {
  const relay = await startRelay(options.controllerPort)
  process.on('message', (command: SubscribersCommand) => {
    if (command.type === 'bytes') tell({ type: 'bytes', bytes: relay.bytes() })
    else void joinAll().catch((error: unknown) => tell({ type: 'trouble', message: String(error) }))
  })

  const joinAll = async (): Promise<void> => {
    while (!(await answers(options.controllerPort))) await sleep(10)
    let missing = options.namespaces.length
    let entries = 0
    let firstAtMs: number | undefined
    for (const namespace of options.namespaces) {
      let first = true
      const onSnapshot = (snapshot: Snapshot): void => {
        const atMs = monotonicMs()
        if (first) {
          first = false
          entries += snapshot.size
          firstAtMs ??= atMs
          if (--missing === 0) tell({ type: 'first', atMs, firstAtMs, entries })
        } else if (namespace === 1) tell({ type: 'edition', edition: editionOf(snapshot), atMs })
      }
      void joinOne(namespace, onSnapshot).catch((error: unknown) => tell({ type: 'trouble', message: String(error) }))
    }
  }

  const joinOne = async (index: number, onSnapshot: (snapshot: Snapshot) => void): Promise<void> => {
    const { trustDomain, directory, bundleFile } = options
    const namespace = namespaceName(index)
    await joinMesh({
      controller: { host: '127.0.0.1', port: relay.port },
      controllerId: formatSpiffeId({ trustDomain, namespace: install.namespace, serviceAccount: install.controller }),
      tokenFile: join(directory, `token-${index}`),
      bundleFile,
      stateDirectory: join(directory, `state-${index}`),
      identity: { trustDomain, namespace, serviceAccount: 'waypoint' },
      subscriber: { kind: 'waypoint', namespace },
      pod: `bench-${index}`,
      clock: systemClock,
      signal: new AbortController().signal,
      onSnapshot,
      onTrouble: (message) => tell({ type: 'trouble', message: `${namespace}: ${message}` }),
    })
  }
  return { port: relay.port }
})

/** The edition of the route that is edited, which its first path says. */
function editionOf(snapshot: Snapshot): number {
  for (const entry of snapshot.values()) {
    if (entry.kind !== 'routes' || entry.service.name !== 'service-0') continue
    for (const rule of entry.routes.rules) {
      if (rule.kind !== 'http' || rule.id.name !== 'route-0-0') continue
      const found = /edition-(\d+)$/.exec(rule.matches[0]?.path.value ?? '')
      if (found !== null) return Number(found[1])
    }
  }
  return -1
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
