import { generateKeyPairSync } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { CaState } from '../../../../ca/bundle.ts'
import { formatState, parseState } from '../../../../ca/store.ts'
import { startApiServer, type ApiServer } from '../../../../test/simulated/api-server.ts'
import { fakeClock, type FakeClock } from '../../../kit/testing/fake-clock.ts'
import type { Issued } from '../../../model/credentials.ts'
import { install } from '../../../model/install.ts'
import { certificatesInPem, checkSvid, parseTrustBundle } from '../../../transport/svid.ts'
import { openClusterCa, type CaEvent, type ClusterCa, type ClusterCaOptions } from '../cluster-ca.ts'
import { caNames } from '../names.ts'

export const trustDomain = 'cluster.local'
export const namespace = 'waymark-system'
export const hour = 3_600_000
export const startMs = Date.UTC(2026, 0, 2, 3, 4, 5)

/** One controller's CA, and what it said. */
export interface Controller {
  readonly ca: ClusterCa
  readonly events: CaEvent[]
  readonly lines: string[]
}

/** A cluster with as many controllers as a test opens; all see one clock. */
export interface TestCluster {
  readonly server: ApiServer
  readonly clock: FakeClock
  readonly open: (options?: Partial<ClusterCaOptions>) => Promise<Controller>
  /** The CA that the Secret holds. */
  readonly kept: () => CaState
  /** Replaces what the Secret holds, as an editor would. */
  readonly overwrite: (text: string) => void
  /** The same with a whole CA that was made of the one that is there. */
  readonly edit: (change: (state: CaState) => CaState) => void
  readonly annotate: (annotations: Readonly<Record<string, string>>) => Promise<void>
  /** Turns the clock in small pieces until `done`, letting what is on its way arrive in between. */
  readonly turnUntil: (ms: number, done: () => boolean) => Promise<void>
  readonly close: () => Promise<void>
}

export async function startCluster(): Promise<TestCluster> {
  const server = await startApiServer()
  const clock = fakeClock(startMs)
  const opened: ClusterCa[] = []
  const secret = { apiVersion: 'v1', kind: 'Secret', namespace, name: install.caSecret }
  const kept = (): CaState => {
    const data = server.get(secret)?.['data'] as Record<string, string> | undefined
    return parseState(Buffer.from(data?.[caNames.secretKey] ?? '', 'base64').toString(), 'the Secret')
  }
  const overwrite = (text: string): void => {
    server.put({ ...server.get(secret)!, data: { [caNames.secretKey]: Buffer.from(text).toString('base64') } })
  }
  return {
    server,
    clock,
    open: async (options = {}) => {
      const events: CaEvent[] = []
      const lines: string[] = []
      const ca = await openClusterCa({
        client: server.client(), clock, random: () => 0.5, namespace, trustDomain, log: (line) => lines.push(line), onEvent: (event) => events.push(event), ...options,
      })
      opened.push(ca)
      return { ca, events, lines }
    },
    kept,
    overwrite,
    edit: (change) => overwrite(formatState(change(kept()))),
    annotate: async (annotations) => {
      await server.client().patch(secret, { metadata: { annotations } })
    },
    turnUntil: async (ms, done) => {
      for (let turns = 0; !done(); turns++) {
        if (turns === 500) throw new Error('it did not come')
        clock.advance(ms)
        await delay(3)
      }
    },
    close: async () => {
      for (const ca of opened) ca.close()
      await server.close()
    },
  }
}

/** Waits until `done`, at most some seconds. */
export async function until(done: () => boolean, what = 'it'): Promise<void> {
  for (let turns = 0; !done(); turns++) {
    if (turns === 4000) throw new Error(`${what} did not come`)
    await delay(2)
  }
}

/** Asks for an SVID over a new key. */
export function issueTo(ca: Pick<ClusterCa, 'issue'>): Promise<Issued> {
  const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey.export({ type: 'spki', format: 'pem' }).toString()
  return ca.issue({ trustDomain, namespace: 'shop', serviceAccount: 'cart' }, key)
}

/** Whether a peer that trusts `roots` accepts an SVID, on both sides of TLS. */
export function accepted(issued: Issued, roots: readonly string[], nowMs: number): boolean {
  const chain = certificatesInPem(issued.certificateChainPem)
  return (['client', 'server'] as const).every((usage) => checkSvid(chain, parseTrustBundle(roots), { trustDomain, nowMs, usage }).ok)
}
