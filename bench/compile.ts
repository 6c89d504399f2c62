import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = new URL('..', import.meta.url).pathname

/** What Node is started with in the image. */
export const imageOptions = (JSON.parse(/^ENTRYPOINT (\[.*\])$/m.exec(readFileSync(join(root, 'Dockerfile'), 'utf8'))?.[1] ?? '[]') as readonly string[]).filter((each) => each.startsWith('--'))

/**
 * Compiles the program into `target`, which is made, as the image has it: what Node needs to run TypeScript takes memory of its own.
 * @param besides folders or files of the project to compile as well, with what they import
 * @returns the folder: `src/cli/main.js` in it is the program
 * @throws if it can not be compiled
 */
export function compileSources(target: string, besides: readonly string[] = []): string {
  const settings = join(target, 'tsconfig.json')
  const compilerOptions = { noEmit: false, noCheck: true, rewriteRelativeImportExtensions: true, removeComments: true, rootDir: root, outDir: target, types: [] }
  const folders = ['src', 'waypoint', 'ca', 'crds']
  const exclude = folders.flatMap((folder) => ['**/*.test.ts', '**/testing/**', '**/testdata/**'].map((glob) => join(root, folder, glob)))
  mkdirSync(target, { recursive: true })
  writeFileSync(settings, JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, include: [...folders, ...besides].map((each) => join(root, each)), exclude }))
  const done = spawnSync(process.execPath, [join(root, 'node_modules/@typescript/native/bin/tsc'), '--project', settings], { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`the program can not be compiled:\n${done.stdout}${done.stderr}`)
  rmSync(settings)
  const { type, version, name } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, unknown>
  writeFileSync(join(target, 'package.json'), JSON.stringify({ name, version, type }))
  symlinkSync(join(root, 'node_modules'), join(target, 'node_modules'))
  return target
}
