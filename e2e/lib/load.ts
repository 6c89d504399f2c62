import { globSync } from 'node:fs'
import { join } from 'node:path'
import { capturedPlace } from './captured.ts'
import { byEntry, entryOf, type Case } from './case.ts'
import { collisions } from './roles.ts'
import { root } from './cluster.ts'

/**
 * Every case of every file in e2e/cases, once for each of its entries; each file exports `cases`.
 * @throws if a file exports none, two cases have one name, or two on a standing place write the same object
 */
export async function loadCases(): Promise<readonly Case[]> {
  const files = globSync('e2e/cases/*.ts', { cwd: root }).filter((file) => !file.endsWith('.test.ts')).sort()
  const loaded: Case[] = []
  for (const file of files) {
    const { cases } = (await import(join(root, file))) as { readonly cases?: readonly Case[] }
    if (cases === undefined) throw new Error(`${file} exports no cases`)
    loaded.push(...cases.flatMap(byEntry))
  }
  const names = loaded.map(({ name }) => name)
  const twice = names.filter((name, at) => names.indexOf(name) !== at)
  if (twice.length > 0) throw new Error(`two cases have the name ${twice.join(', ')}`)
  const standing = loaded.filter(({ place }) => place === undefined || place === capturedPlace)
  const clashes = (['connect', 'captured'] as const).flatMap((entry) => collisions(standing.filter((one) => entryOf(one) === entry)))
  if (clashes.length > 0) throw new Error(`cases on a standing place write the same objects: ${clashes.join('; ')}`)
  return loaded
}
