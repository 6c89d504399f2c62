import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCa, type Ca } from '../../../ca/server.ts'
import { memoryStore } from '../../../ca/store.ts'
import { systemClock } from '../../kit/clock.ts'
import { formatSpiffeId, type Identity } from '../../model/identity.ts'
import { entryKey, type Entry } from '../../model/entries.ts'
import type { Snapshot } from '../../model/snapshot.ts'
import { keepCredentials, type CredentialKeeper } from '../../transport/credentials.ts'
import { joinMesh, type JoinOptions, type Member } from '../join.ts'
import { listenControl, type ControlServer, type ListenControlOptions } from '../listen.ts'
import { createPublisher, type Publisher } from '../publisher.ts'

export const trustDomain = 'mesh.example'
export const controller: Identity = { trustDomain, namespace: 'waymark-system', serviceAccount: 'waymark-controller' }

export const service = (namespace: string, name: string, port = 80): Entry =>
  ({ kind: 'service', namespace, name, clusterIPs: [], headless: false, ports: [{ port, protocol: 'http' }] })
export const snapshotOf = (...entries: Entry[]): Snapshot => new Map(entries.map((each) => [entryKey(each), each]))

/** A CA and the controllers that serve with it, all on loopback. */
export interface ControlPlane {
  readonly ca: Ca
  /** Starts a controller with a publisher of its own. */
  readonly start: (changes?: Partial<ListenControlOptions>) => Promise<TestController>
  /** Joins as `shop/till`, an entry, unless the changes say otherwise. */
  readonly join: (changes?: Partial<JoinOptions>) => Promise<Member>
  /** Names of the test's tokens are `namespace/service-account`. */
  readonly tokenFile: (token: string) => Promise<string>
  readonly directory: string
  readonly bundleFile: string
  readonly troubles: string[]
  /** Joins where those that have been started are. */
  readonly close: () => Promise<void>
}

export interface TestController {
  readonly publisher: Publisher
  readonly server: ControlServer
  readonly credentials: CredentialKeeper
}

/** @param host each controller of a control plane needs another loopback address, for they share one port */
export async function startControlPlane(options: { readonly svidLifetimeMs?: number } = {}): Promise<ControlPlane> {
  const directory = await mkdtemp(join(tmpdir(), 'waymark-join-'))
  const ca = await createCa({ store: memoryStore(), trustDomain, clock: systemClock, ...options })
  const bundleFile = join(directory, 'ca.crt')
  await writeFile(bundleFile, ca.bundle().join(''))
  const controllers: TestController[] = []
  const members: Member[] = []
  const troubles: string[] = []
  let port = 0
  const tokenFile = async (token: string): Promise<string> => {
    const path = join(directory, token.replaceAll('/', '-'))
    await writeFile(path, `${token}\n`)
    return path
  }
  return {
    ca, directory, bundleFile, troubles, tokenFile,
    start: async (changes = {}) => {
      const publisher = changes.publisher ?? createPublisher()
      const credentials = await keepCredentials({ identity: controller, clock: systemClock, fetch: (key) => ca.issue(controller, key), onError: (error) => troubles.push(error.message) })
      ca.onBundleChange(credentials.updateBundle)
      const server = await listenControl({
        credentials, host: `127.0.0.${controllers.length + 1}`, port, trustDomain, clock: systemClock, publisher,
        issue: ca.issue, onBundleChange: ca.onBundleChange, authorize: () => true,
        reviewToken: (token) => {
          const [namespace, serviceAccount] = token.split('/')
          if (namespace === undefined || serviceAccount === undefined) return Promise.resolve('the token is not authenticated')
          return Promise.resolve({ identity: { trustDomain, namespace, serviceAccount } })
        },
        ...changes,
      })
      port = server.address.port
      const started = { publisher, server, credentials }
      controllers.push(started)
      return started
    },
    join: async (changes = {}) => {
      const identity = changes.identity ?? { trustDomain, namespace: 'shop', serviceAccount: 'till' }
      const member = await joinMesh({
        controller: { host: 'controllers', port }, controllerId: formatSpiffeId(controller),
        resolve: () => Promise.resolve(controllers.map(({ server }) => server.address.host)),
        tokenFile: await tokenFile(`${identity.namespace}/${identity.serviceAccount}`), bundleFile,
        identity, subscriber: { kind: 'entry', namespace: identity.namespace }, pod: 'till-1', clock: systemClock, firstPauseMs: 20, patienceMs: 100,
        onSnapshot: () => {}, onTrouble: (message) => troubles.push(message), ...changes,
      })
      members.push(member)
      return member
    },
    close: async () => {
      for (const each of members) await each.close()
      for (const { server, credentials } of controllers) {
        credentials.close()
        await server.close(0)
      }
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** Waits until `holds`, at most 10 s. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2_000; turn++) {
    if (holds()) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error(`it did not come to pass within 10 s: ${what}`)
}
