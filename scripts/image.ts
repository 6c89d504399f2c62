import { spawnSync } from 'node:child_process'
import { mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { messageOf } from '../src/kit/message.ts'
import { megabytes, sizeOf, stage } from './stage.ts'

/** What the image may weigh above its base, bytes. */
export const imageBudget = 120_000_000

const root = join(import.meta.dirname, '..')
const usage = `usage: npm run image -- [--tag NAME] [--base IMAGE] [--stage-only] [--skip-dependencies]
  --tag NAME           what the image is called; default waymark:dev
  --base IMAGE         any glibc image with Node 24 or later and a user 1000; default node:24-bookworm-slim
  --stage-only         stop before docker build; docker build build/image does the rest then
  --skip-dependencies  keep the node_modules that were staged last`

/** Stages the build and has it built. @returns the exit code */
function main(args: readonly string[]): number {
  const options = {
    tag: { type: 'string', default: 'waymark:dev' },
    base: { type: 'string', default: 'node:24-bookworm-slim' },
    'stage-only': { type: 'boolean', default: false },
    'skip-dependencies': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  } as const
  let values: ReturnType<typeof parseArgs<{ args: string[]; options: typeof options }>>['values']
  try {
    values = parseArgs({ args: [...args], options }).values
  } catch (error) {
    console.error(`${messageOf(error)}\n${usage}`)
    return 2
  }
  if (values.help) {
    console.log(usage)
    return 0
  }
  // A folder of its own for each run: two at a time must not build from each other's halves.
  const target = join(root, `build/image-${process.pid}`)
  const kept = join(root, 'build/image')
  mkdirSync(target, { recursive: true })
  try {
    stage(root, target, { dependencies: values['skip-dependencies'] ? join(kept, 'node_modules') : undefined })
    const staged = sizeOf(target)
    console.log(`staged ${megabytes(staged)} in build/image`)
    if (staged > imageBudget) return tooBig(staged)
    const code = values['stage-only'] ? 0 : build(target, values.tag, values.base)
    rmSync(kept, { recursive: true, force: true })
    renameSync(target, kept)
    return code
  } catch (error) {
    console.error(messageOf(error))
    return 1
  } finally {
    rmSync(target, { recursive: true, force: true })
  }
}

function build(folder: string, tag: string, base: string): number {
  const built = spawnSync('docker', ['build', '--network', 'none', '--build-arg', `BASE=${base}`, '--tag', tag, folder], { stdio: 'inherit' })
  if (built.error !== undefined) {
    console.error(`docker could not be started (${built.error.message}): put it in PATH, or build the folder yourself with --stage-only`)
    return 1
  }
  if (built.status !== 0) {
    console.error(`docker build failed; the base ${base} must be there already or be reachable: docker pull ${base}`)
    return 1
  }
  const above = imageSize(tag) - imageSize(base)
  // A builder of another machine or a remote one may not know the base: the staged size was checked all the same.
  if (!Number.isFinite(above)) console.log(`built ${tag}`)
  else console.log(`built ${tag}: ${megabytes(above)} above ${base}, at most ${megabytes(imageBudget)} allowed`)
  return above > imageBudget ? tooBig(above) : 0
}

/** Bytes, NaN if docker does not know the image. */
function imageSize(image: string): number {
  const asked = spawnSync('docker', ['image', 'inspect', '--format', '{{.Size}}', image], { encoding: 'utf8' })
  return asked.status === 0 ? Number(asked.stdout) : NaN
}

function tooBig(bytes: number): number {
  console.error(`that is ${megabytes(bytes)}, over the budget of ${megabytes(imageBudget)}: see what grew with du -h build/image | sort -h, and prune it in scripts/stage.ts`)
  return 1
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2))
