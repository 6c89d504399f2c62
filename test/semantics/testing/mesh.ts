import { rename, writeFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { startWorld, until, type World } from '../../../src/control/testing/world.ts'
import type { ObjectStatus } from '../../../src/model/status.ts'
import { call, keepAlive, raw, tunnel, type Address, type Call, type KeepAlive, type RawReply, type Reply } from './client.ts'
import { manifests, type Manifest } from './manifests.ts'

/** A running mesh of manifests, asked from its entries as an application would ask. */
export interface Mesh {
  readonly world: World
  /** A request from a workload of `namespace` to `authority`, as `host:port`. */
  readonly call: (namespace: string, authority: string, what?: Call) => Promise<Reply>
  readonly keepAlive: (namespace: string, authority: string, maxSockets?: number) => KeepAlive
  readonly raw: (namespace: string, authority: string, bytes: string | Buffer) => Promise<RawReply>
  readonly tunnel: (namespace: string, authority: string) => Promise<Socket>
  readonly entry: (namespace: string) => Address
  /** Replaces the manifests and waits until every part of the mesh runs them. */
  readonly replace: (...objects: readonly Manifest[]) => Promise<void>
  /** `type=status/reason` of the conditions of one object, for its first parentRef if it is a route. */
  readonly conditions: (kind: string, key: string) => readonly string[]
  readonly close: () => Promise<void>
}

const file = 'all.yaml'

export async function startMesh(namespaces: readonly string[], ...objects: readonly Manifest[]): Promise<Mesh> {
  const world = await startWorld({ [file]: manifests(...objects) }, namespaces)
  const unusable = world.log.filter((line) => line.includes(': error: '))
  if (unusable.length > 0) {
    await world.close()
    throw new Error(`the test's own manifests are wrong:\n${unusable.join('\n')}`)
  }
  const clients: KeepAlive[] = []
  const entry = (namespace: string): Address => {
    const found = world.mesh.entries().find(({ identity }) => identity.namespace === namespace)
    if (found === undefined) throw new Error(`no entry for ${namespace}`)
    return found.address
  }
  return {
    world,
    entry,
    call: (namespace, authority, what) => call(entry(namespace), authority, what),
    raw: (namespace, authority, bytes) => raw(entry(namespace), authority, bytes),
    tunnel: (namespace, authority) => tunnel(entry(namespace), authority),
    keepAlive: (namespace, authority, maxSockets) => {
      const client = keepAlive(entry(namespace), authority, maxSockets)
      clients.push(client)
      return client
    },
    replace: async (...next) => {
      const before = world.mesh.snapshot()
      // In one step, as an editor or a ConfigMap volume does it: nobody can read half a file.
      await writeFile(join(world.directory, `.${file}.next`), manifests(...next))
      await rename(join(world.directory, `.${file}.next`), join(world.directory, file))
      await until('the change is in force', () => world.mesh.snapshot() !== before)
    },
    conditions: (kind, key) => conditionsOf(world.mesh.statuses(), kind, key),
    close: async () => {
      for (const client of clients) client.close()
      await world.close()
    },
  }
}

function conditionsOf(statuses: readonly ObjectStatus[], kind: string, key: string): readonly string[] {
  const found = statuses.find(({ ref }) => ref.kind === kind && `${ref.namespace}/${ref.name}` === key)
  if (found === undefined) return []
  const conditions = found.kind === 'route' ? (found.parents[0]?.conditions ?? []) : found.kind === 'policy' ? (found.ancestors[0]?.conditions ?? []) : found.conditions
  return conditions.map(({ type, status, reason }) => `${type}=${status}/${reason}`)
}
