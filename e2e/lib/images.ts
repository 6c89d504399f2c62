import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { run } from './command.ts'
import { root } from './cluster.ts'
import type { Images } from './manifests.ts'

/** What a cluster's images are called, so that suites side by side do not take each other's; nothing asks a registry for them. */
export function imagesOf(cluster: string): Images {
  return { waymark: `waymark:${cluster}`, app: `waymark-e2e-app:${cluster}` }
}

/** Builds the mesh's image and that of the test application. */
export async function buildImages(images: Images, base: string, signal: AbortSignal): Promise<void> {
  await run('npm', ['run', '--silent', 'image', '--', '--tag', images.waymark, '--base', base], { cwd: root, signal, timeoutMs: 600_000 })
  const folder = join(root, `build/${images.app.replace(/\W/g, '-')}`)
  stageApp(folder)
  await run('docker', ['build', '--network', 'none', '--build-arg', `BASE=${base}`, '--tag', images.app, folder], { signal, timeoutMs: 300_000 })
}

/** Puts the application, its Dockerfile and the packages that it needs into a folder: `docker build` then needs no network. */
export function stageApp(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const app = join(root, 'e2e/app')
  cpSync(app, folder, { recursive: true, filter: (source) => !source.endsWith('.test.ts') })
  // System calls are in a package for each platform, of which one is installed.
  const native = globSync('@koromix/koffi-*', { cwd: join(root, 'node_modules') })
  for (const name of closure(['@grpc/grpc-js', 'koffi', ...native])) {
    cpSync(join(root, 'node_modules', name), join(folder, 'node_modules', name), { recursive: true, filter: (source) => !/\.(?:map|d\.ts)$/.test(source) })
  }
}

/** A package and everything that it needs, by name, as npm has laid them out flat. @throws if one is not installed */
export function closure(names: readonly string[]): ReadonlySet<string> {
  const found = new Set<string>()
  const visit = (name: string): void => {
    if (found.has(name)) return
    const file = join(root, 'node_modules', name, 'package.json')
    if (!existsSync(file)) throw new Error(`${name} is not in ${dirname(dirname(file))}: run npm ci`)
    found.add(name)
    const { dependencies = {} } = JSON.parse(readFileSync(file, 'utf8')) as { readonly dependencies?: Readonly<Record<string, string>> }
    for (const needed of Object.keys(dependencies)) visit(needed)
  }
  for (const name of names) visit(name)
  return found
}
