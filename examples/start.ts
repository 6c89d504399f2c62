import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { run } from '../src/control/run.ts'
import { loadFolder } from '../src/sources/files/load.ts'
import { startEchoes } from './echo.ts'
import { tries } from './tries.ts'

/**
 * Starts the bookstore: its backends, its mesh, and entries for a workload of each namespace; prints what to try.
 * `--any-port` takes free ports instead of 15080–15082, 15000, 15020 and 15021.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { 'any-port': { type: 'boolean', default: false } } })
  const port = (fixed: number): number => (values['any-port'] ? 0 : fixed)
  const say = (line: string): void => void process.stdout.write(`${line}\n`)
  const directory = relative(process.cwd(), join(import.meta.dirname, 'bookstore'))

  const { resources } = await loadFolder(directory)
  const echoes = await startEchoes(resources)
  const mesh = await run({
    directory,
    watch: true,
    host: '127.0.0.1',
    trustDomain: 'cluster.local',
    entries: [
      { namespace: 'books', serviceAccount: 'productpage', port: port(15080) },
      { namespace: 'shop', serviceAccount: 'till', port: port(15081) },
      { namespace: 'reading-club', serviceAccount: 'member', port: port(15082) },
    ],
    adminPort: port(15000),
    metricsPort: port(15020),
    readyPort: port(15021),
    log: (line) => void process.stderr.write(`${line}\n`),
  })
  const at = (place: { readonly address: { readonly host: string; readonly port: number } } | undefined): string =>
    place === undefined ? '' : `${place.address.host}:${place.address.port}`
  const entryOf = (namespace: string): string => at(mesh.entries().find((entry) => entry.identity.namespace === namespace))

  say('The bookstore runs; its manifests are in examples/bookstore, and a change there is live at once.\n')
  for (const line of echoes.listening) say(`backend ${line}`)
  for (const line of mesh.summary()) say(line)
  say('\nTry, in another terminal:\n')
  for (const each of tries({
    books: entryOf('books'), shop: entryOf('shop'), readingClub: entryOf('reading-club'), waypoint: at(mesh.waypoints().find(({ key }) => key === 'books/waypoint')),
  })) {
    say(`# ${each.title}\n${each.command}\n#   → ${each.expect}\n`)
  }
  say('Ready. Ctrl-C ends it.')

  const stop = (): void => {
    process.once('SIGINT', () => process.exit(130))
    void mesh.close(5_000).then(() => echoes.close()).then(() => process.exit(0))
  }
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  if (error instanceof Error && 'address' in error) process.stderr.write('the bookstore\'s backends have fixed addresses: does it run already? End that one first\n')
  process.exitCode = 1
})
