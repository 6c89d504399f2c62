import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { controllerCounters } from '../../../src/control/controller-metrics.ts'
import { startController, type Controller } from '../../../src/control/controller.ts'
import { systemClock } from '../../../src/kit/clock.ts'
import { createReadiness } from '../../../src/kit/ready.ts'
import { formatSpiffeId } from '../../../src/model/identity.ts'
import { install } from '../../../src/model/install.ts'
import type { Snapshot } from '../../../src/model/snapshot.ts'
import { controllerName } from '../../../src/model/status.ts'
import { joinMesh, type Member } from '../../../src/publish/join.ts'
import { createMetrics } from '../../../src/telemetry/metrics.ts'
import { startApiServer, type ApiServer } from '../../simulated/api-server.ts'

/** A simulated API server, a real controller, and one waypoint's side of its stream. */
export interface ControlPlane {
  readonly server: ApiServer
  readonly controller: Controller
  /** What the controller says, a line each. */
  readonly lines: readonly string[]
  /** Joins as the waypoint of a namespace that is there. */
  readonly subscribe: (namespace: string) => Promise<Subscriber>
  readonly close: () => Promise<void>
}

/** What a waypoint gets. */
export interface Subscriber {
  readonly snapshot: () => Snapshot
  /** Resolves with the first snapshot that fits, the present one among them. @throws after `timeoutMs` */
  readonly until: (fits: (snapshot: Snapshot) => boolean, timeoutMs?: number) => Promise<void>
}

const trustDomain = 'cluster.local'

/** Waits until something holds. @throws after a minute, which is far more than it ever takes */
export async function eventually<T>(what: string, get: () => T | undefined): Promise<T> {
  const deadlineMs = performance.now() + 60_000
  for (;;) {
    const found = get()
    if (found !== undefined) return found
    if (performance.now() > deadlineMs) throw new Error(`not within a minute: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

export async function startControlPlane(): Promise<ControlPlane> {
  const directory = mkdtempSync(join(tmpdir(), 'waymark-hostile-'))
  const server = await startApiServer()
  server.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: install.namespace } })
  server.put({ apiVersion: 'gateway.networking.k8s.io/v1', kind: 'GatewayClass', metadata: { name: 'waypoint' }, spec: { controllerName } })
  const lines: string[] = []
  const readiness = createReadiness()
  const controller = await startController({
    client: server.client(), clock: systemClock, readiness, pod: 'controller-0', host: '127.0.0.1', port: 0, svidLifetimeMs: 3_600_000,
    installation: { namespace: install.namespace, trustDomain, image: 'waymark', imagePullPolicy: 'Never', imagePullSecrets: [], accessLog: 'none' },
    counters: controllerCounters(createMetrics(systemClock.now), systemClock.now),
    log: (line) => void lines.push(line),
  })
  await readiness.whenReady()
  const bundle = await eventually('the trust bundle', () => server.get({ kind: 'ConfigMap', namespace: install.namespace, name: install.bundleConfigMap }))
  writeFileSync(join(directory, 'bundle.pem'), (bundle['data'] as Readonly<Record<string, string>>)[install.bundleKey] ?? '')

  const members: Member[] = []
  const subscribe = async (namespace: string): Promise<Subscriber> => {
    const pod = server.put({ apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name: 'waypoint-0' }, spec: { serviceAccountName: 'waypoint' } })
    const bound = { name: 'waypoint-0', uid: pod.metadata.uid ?? '' }
    const tokenFile = join(directory, `token-${namespace}`)
    writeFileSync(tokenFile, server.tokens.issue({ namespace, serviceAccount: 'waypoint', audiences: [install.tokenAudience], pod: bound }))
    let snapshot: Snapshot = new Map()
    const waiting = new Set<() => void>()
    members.push(await joinMesh({
      controller: controller.control.address,
      controllerId: formatSpiffeId({ trustDomain, namespace: install.namespace, serviceAccount: install.controller }),
      tokenFile, bundleFile: join(directory, 'bundle.pem'),
      identity: { trustDomain, namespace, serviceAccount: 'waypoint' }, subscriber: { kind: 'waypoint', namespace }, pod: 'waypoint-0',
      clock: systemClock, signal: AbortSignal.timeout(60_000), onTrouble: (message) => void lines.push(`${namespace}: ${message}`),
      onSnapshot: (next) => {
        snapshot = next
        for (const look of waiting) look()
      },
    }))
    return {
      snapshot: () => snapshot,
      until: (fits, timeoutMs = 60_000) =>
        new Promise((resolve, reject) => {
          const settle = (): void => {
            clearTimeout(timer)
            waiting.delete(look)
          }
          const look = (): void => {
            if (!fits(snapshot)) return
            settle()
            resolve()
          }
          const timer = setTimeout(() => {
            settle()
            reject(new Error(`the configuration did not come within ${timeoutMs / 1000} s; the controller said: ${lines.slice(-5).join('; ')}`))
          }, timeoutMs)
          waiting.add(look)
          look()
        }),
    }
  }
  return {
    server, controller, lines, subscribe,
    close: async () => {
      for (const member of members) await member.close()
      await controller.close()
      await server.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
