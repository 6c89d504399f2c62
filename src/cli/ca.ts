import { parseInfo, type CaInfo } from '../control/ca/info.ts'
import { caNames } from '../control/ca/names.ts'
import { systemClock, type Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import { printable } from '../kit/printable.ts'
import type { KubeClient } from '../kube/client.ts'
import type { KubeChoice } from '../kube/config.ts'
import { isStatus } from '../kube/errors.ts'
import { install } from '../model/install.ts'
import { withCluster, type ClusterAccess } from './cluster.ts'
import { exitCodes, type Io } from './io.ts'
import { toJson } from './json.ts'
import { pause } from './rollout.ts'
import { stopSignal } from './signals.ts'

export interface CaStatusOptions extends KubeChoice {
  /** The controller's. */
  readonly namespace: string
  readonly output: 'table' | 'json' | 'yaml'
}

export interface CaRotateOptions extends CaStatusOptions {
  /** Shows progress until the rotation is complete; default true. */
  readonly wait?: boolean | undefined
  /** Takes every step at once: for roots whose key is known to others. */
  readonly force?: boolean | undefined
  /** The generation to reach, for scripts that may run twice; default the one after the present. */
  readonly to?: number | undefined
  /** Seconds to wait; undefined: as long as it takes. */
  readonly timeout?: number | undefined
}

/** What `caRotate` needs of the outside; tests give their own. */
export interface CaRotateAccess extends ClusterAccess {
  /** When the person wants to go; default SIGINT or SIGTERM. */
  readonly stopped?: Promise<void>
}

/** Milliseconds between two looks. */
const pollMs = 1000
/** After how long without a step it is said that no controller seems to care. */
const patienceMs = 30_000

const phases: Readonly<Record<CaInfo['phase'], string>> = {
  steady: 'no rotation is under way',
  introduced: 'the new root is trusted beside the former one, which signs',
  signing: 'the new root signs; the former one is still trusted',
}

/** `waymark ca status`: how the mesh's CA stands. @returns 1 if there is none, or if it has problems */
export async function caStatus(options: CaStatusOptions, io: Io, access: ClusterAccess = {}): Promise<number> {
  return withCluster(options, access, io, 'ca status', async (client) => {
    const info = await readInfo(client, options.namespace)
    if (info === undefined) return noCa('status', options.namespace, io)
    await print(info, options.output, io)
    return info.problems.length === 0 ? exitCodes.fine : exitCodes.failed
  })
}

/**
 * `waymark ca rotate`: asks the controllers to replace the root in stages, and shows how they do. The controllers do it, so it goes on when this command
 * ends; run again while it is under way, it only shows progress.
 */
export async function caRotate(options: CaRotateOptions, io: Io, access: CaRotateAccess = {}): Promise<number> {
  return withCluster(options, access, io, 'ca rotate', async (client) => {
    const info = await readInfo(client, options.namespace)
    if (info === undefined) return noCa('rotate', options.namespace, io)
    const target = info.generation + 1
    if (options.to !== undefined && options.to <= info.generation) {
      io.say(`generation ${options.to} is reached already: the CA is at ${info.generation}`)
      return done(info)
    }
    const refusal = whyNot(info, options)
    if (refusal !== undefined) {
      io.say(`waymark ca rotate: ${refusal}; nothing was changed`)
      return exitCodes.failed
    }
    if (info.phase === 'steady' || options.force === true) await ask(client, options, target)
    io.say(info.phase === 'steady' ? `asked for generation ${target}` : `the rotation to generation ${target} is under way`)
    if (options.wait === false) return done(info)
    const last = await follow(client, access, target)
    return last === undefined ? exitCodes.failed : done(last)
  })

  async function done(info: CaInfo): Promise<number> {
    if (options.output !== 'table') await print(info, options.output, io)
    return exitCodes.fine
  }

  /** Shows progress until the generation is reached. @returns undefined if it was not within the time */
  async function follow(client: KubeClient, { clock = systemClock, stopped }: CaRotateAccess, target: number): Promise<CaInfo | undefined> {
    const signal = stopped === undefined ? stopSignal() : undefined
    let gone = false
    void (stopped ?? signal?.first)?.then(() => (gone = true))
    try {
      return await watch(client, clock, target, () => gone)
    } finally {
      signal?.release()
    }
  }

  async function watch(client: KubeClient, clock: Clock, target: number, isGone: () => boolean): Promise<CaInfo | undefined> {
    const startMs = clock.now()
    const said = new Set<string>()
    const sayOnce = (line: string): void => {
      if (!said.has(line)) io.say(line)
      said.add(line)
    }
    for (;;) {
      const info = await lookAgain(client, sayOnce)
      if (info !== undefined) {
        if (info.generation >= target && info.phase === 'steady') {
          io.say(`generation ${info.generation}: done; the former root is not trusted any more`)
          return info
        }
        if (info.phase !== 'steady') sayOnce(progress(info, target))
        for (const problem of info.problems) sayOnce(`problem: ${printable(problem)}`)
        if (info.phase === 'steady' && clock.now() - startMs >= patienceMs) sayOnce('no controller has begun yet: see waymark check and the controllers\' logs')
      }
      const late = options.timeout !== undefined && clock.now() - startMs >= options.timeout * 1000
      if (isGone() || late) {
        io.say(`waymark ca rotate: ${late ? `not done after ${options.timeout} s` : 'stopped'}; the controllers go on by themselves, and the same command shows how`)
        return undefined
      }
      await pause(clock, pollMs)
    }
  }

  /** A look that fails is no reason to end: it may be an API server that restarts. */
  async function lookAgain(client: KubeClient, sayOnce: (line: string) => void): Promise<CaInfo | undefined> {
    try {
      return await readInfo(client, options.namespace)
    } catch (error) {
      sayOnce(`${messageOf(error)}; it will be tried again`)
      return undefined
    }
  }
}

function whyNot(info: CaInfo, { to, namespace }: CaRotateOptions): string | undefined {
  if (to !== undefined && to > info.generation + 1) return `the CA is at generation ${info.generation}, and one rotation leads to ${info.generation + 1}`
  if (info.phase !== 'steady' || info.ownSecret === undefined) return undefined
  return `the root comes from Secret ${namespace}/${printable(info.ownSecret)}: put the next CA there, and the rotation begins by itself`
}

async function ask(client: KubeClient, { namespace, force }: CaRotateOptions, target: number): Promise<void> {
  const annotations = { [caNames.rotateTo]: String(target), ...(force === true ? { [caNames.rotateForce]: String(target) } : {}) }
  try {
    await client.patch({ apiVersion: 'v1', kind: 'Secret', namespace, name: install.caSecret }, { metadata: { annotations } })
  } catch (error) {
    if (!isStatus(error, 404)) throw error
    throw new Error(`Secret ${namespace}/${install.caSecret} is gone: a controller that runs puts it back; see waymark ca status`, { cause: error })
  }
}

function progress(info: CaInfo, target: number): string {
  const next = info.next === undefined ? '' : `; next: ${nextWords[info.next.step]} at ${at(info.next.atMs)}, when every certificate from before has been renewed`
  return `generation ${target}: ${phases[info.phase]}${next}`
}

const nextWords = { introduce: 'a new root is introduced', sign: 'the new root signs', retire: 'the former root is retired' } as const

/** The CA's own account, which holds no keys. @returns undefined if there is none */
async function readInfo(client: KubeClient, namespace: string): Promise<CaInfo | undefined> {
  const configMap = await client.read({ apiVersion: 'v1', kind: 'ConfigMap', namespace, name: install.bundleConfigMap })
  return parseInfo((configMap?.['data'] as Readonly<Record<string, string>> | undefined)?.[caNames.infoKey])
}

function noCa(verb: string, namespace: string, io: Io): number {
  io.say(`waymark ca ${verb}: ConfigMap ${namespace}/${install.bundleConfigMap} tells of no CA: is the mesh installed there, and does a controller lead? See waymark check; --namespace names another place`)
  return exitCodes.failed
}

async function print(info: CaInfo, output: CaStatusOptions['output'], io: Io): Promise<void> {
  if (output === 'table') io.out(table(info, io))
  else io.out(output === 'json' ? toJson(readable(info)) : (await import('./yaml.ts')).toYaml(readable(info)))
}

/** With times as people and programs write them. */
function readable({ sinceMs, next, roots, ...rest }: CaInfo): object {
  return {
    ...rest,
    since: at(sinceMs),
    ...(next === undefined ? {} : { next: { step: next.step, at: at(next.atMs) } }),
    roots: roots.map(({ fingerprint, notAfterMs, signs }) => ({ fingerprint, notAfter: at(notAfterMs), signs })),
  }
}

function table(info: CaInfo, { paint }: Io): string {
  const lines = [
    `CA of ${printable(info.trustDomain)}, generation ${info.generation}: ${phases[info.phase]}, since ${at(info.sinceMs)}`,
    ...(info.ownSecret === undefined ? [] : [`its root comes from Secret ${printable(info.ownSecret)}`]),
    ...(info.next === undefined ? [] : [`next: ${nextWords[info.next.step]} at ${at(info.next.atMs)}`]),
    '',
    paint('bold', `${'ROOT (SHA-256)'.padEnd(64)}  SIGNS  VALID UNTIL`),
    ...info.roots.map(({ fingerprint, notAfterMs, signs }) => `${printable(fingerprint)}  ${(signs ? 'yes' : 'no').padEnd(5)}  ${at(notAfterMs)}`),
    ...info.problems.map((problem) => paint('red', `problem: ${printable(problem)}`)),
  ]
  return `${lines.join('\n')}\n`
}

function at(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? 'an unknown time' : date.toISOString().replace(/\.\d+Z$/, 'Z')
}
