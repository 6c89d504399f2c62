import { stat } from 'node:fs/promises'
import { formatProblem } from '../api/problem.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { namespacedName, type NamespacedName } from '../model/refs.ts'
import { loadFolder } from '../sources/files/load.ts'
import type { LoadedFolder } from '../sources/files/folder.ts'
import { meshPort, type SocketAddress, type Translation } from '../translate/options.ts'
import { translate } from '../translate/translate.ts'
import type { Io } from './io.ts'
import { CannotRead, UsageError } from './usage.ts'

/**
 * Reads a folder of manifests, or one file.
 * @throws {UsageError} if it does not exist
 * @throws {CannotRead} if it can't be read
 */
export async function readFolder(directory: string): Promise<LoadedFolder> {
  await mustExist(directory)
  const loaded = await loadFolder(directory)
  if (!loaded.readable) throw new CannotRead(loaded.problems.map(formatProblem).join('\n'))
  return loaded
}

/** @throws {UsageError} if there is nothing at `path` */
export async function mustExist(path: string): Promise<void> {
  try {
    await stat(path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) {
      throw new UsageError(`${path} does not exist; give a folder with Kubernetes manifests, or one file of them`)
    }
    // Whatever else is wrong with it, reading says it better.
  }
}

/** Says on the side that some of the folder is not in force. */
export function sayIncomplete(loaded: LoadedFolder, directory: string, io: Io): void {
  const errors = loaded.problems.filter(({ severity }) => severity === 'error').length
  if (errors > 0) io.say(`${errors} ${errors === 1 ? 'error' : 'errors'} in ${directory}: what is wrong is left out; see \`waymark check -f ${directory}\``)
}

/** What a folder means, as if its waypoints ran: each that has no address gets one under its own name. */
export function translateRunning(loaded: LoadedFolder, trustDomain: string): Translation {
  const { snapshot } = translate(loaded.resources, { trustDomain })
  return translate(loaded.resources, { trustDomain, waypointAddresses: standIns(snapshot) })
}

function standIns(snapshot: Snapshot): ReadonlyMap<NamespacedName, readonly SocketAddress[]> {
  const addresses = new Map<NamespacedName, readonly SocketAddress[]>()
  for (const entry of snapshot.values()) {
    if (entry.kind !== 'waypoint') continue
    const known = entry.addresses.length > 0 ? entry.addresses : [{ host: `${entry.name}.${entry.namespace}`, port: meshPort }]
    addresses.set(namespacedName(entry.namespace, entry.name), known)
  }
  return addresses
}
