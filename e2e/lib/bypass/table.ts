import assert from 'node:assert/strict'
import type { Attempt, Outcome } from '../../app/stranger.ts'
import type { Context } from '../case.ts'
import { attempt } from '../strangers.ts'
import type { Scene } from './scene.ts'

/** Pods that try, and where they are. */
export const actors = {
  /** Captured, `shop/default`, whom policies let in. */
  a: ['shop', 'a'],
  /** Captured, `shop/thief`, whom they do not. */
  thief: ['shop', 'thief'],
  /** Captured, `garden/default`. */
  c: ['garden', 'c'],
  /** Not in the mesh, on the worker. */
  stranger: ['outside', 'stranger'],
  /** Not in the mesh, on the control plane. */
  far: ['outside', 'far'],
  /** On the worker's own network. */
  host: ['outside', 'host'],
  /** On the control plane's own network. */
  farHost: ['outside', 'far-host'],
} as const satisfies Readonly<Record<string, readonly [role: string, pod: string]>>

export type Actor = keyof typeof actors

/** Somebody tries to get past something. */
export interface Try {
  readonly by: Actor
  readonly attempt: (scene: Scene) => Attempt
}

/** What shows that the attempt is no wall of its own: a way on which it succeeds. */
export interface Control extends Partial<Try> {
  /** Before there are policies; by default while they hold. */
  readonly open?: boolean
  /** What is said of it then; by default the application's answer. */
  readonly reaches?: RegExp
}

export interface Row extends Try {
  readonly name: string
  /** What must come of it while policies hold, in the words of `wordsOf`. */
  readonly refused: RegExp
  /** By default the very same attempt, before there are policies. */
  readonly control?: Control
  /** Paths that the application may see all the same. */
  readonly sees?: readonly string[]
}

const reached = /^(?:200 )?200 saw \//
const openly: Control = { open: true }

/** An outcome in a line: statuses with the mesh's reasons, what the application saw, or how it ended. */
export function wordsOf(outcome: Outcome | undefined): string {
  const last = outcome?.messages?.at(-1)
  if (last !== undefined) return [last.type, last['cause'], last['message']].filter((word) => typeof word === 'string').join(' ')
  const text = outcome?.text ?? ''
  const answers = text.split(/(?=HTTP\/1\.1 \d)/).flatMap((part) => {
    const status = /^HTTP\/1\.1 (\d+)/.exec(part)?.[1]
    return status === undefined ? [] : [status, /^x-waypoint-reason: (\S+)/im.exec(part)?.[1]]
  })
  const saw = sawIn(outcome)
  const words = [outcome?.status, outcome?.reason, ...answers, ...(saw.length === 0 ? [] : ['saw', ...saw]), outcome?.error]
  return words.filter((word) => word !== undefined).join(' ') || 'closed without a word'
}

/** Paths that the application says it was asked for. */
function sawIn(outcome: Outcome | undefined): readonly string[] {
  return [...(outcome?.text ?? '').matchAll(/"path":"([^"]*)"/g)].map(([, path = '']) => path)
}

/**
 * Each control that belongs to a phase must succeed, within twenty seconds: kube-proxy takes a moment to know a Service.
 * @returns how many there are
 */
export async function allReach(context: Context, scene: Scene, rows: readonly Row[], open: boolean): Promise<number> {
  const wanted = rows.filter(({ control = openly }) => (control.open ?? false) === open)
  let waiting = wanted
  let wrong: readonly string[] = []
  await context.until('every control to succeed', async () => {
    const outcomes = await performed(context, scene, 'control', waiting.map(({ by, attempt: own, control }) => ({ by, attempt: own, ...control })))
    const words = new Map(waiting.map((row, at) => [row, wordsOf(outcomes[at])]))
    waiting = waiting.filter((row) => !(row.control?.reaches ?? reached).test(words.get(row) ?? ''))
    wrong = waiting.map((row) => `${row.name}: its control does not succeed: ${words.get(row) ?? ''}`)
    return waiting.length === 0
  }, 20_000).catch(() => assert.deepEqual(wrong, []))
  return wanted.length
}

/**
 * Each attempt must be refused, as its row says. One that ends otherwise, and not at the application, is made again: controllers and DNS may be busy.
 * @returns a line for each
 */
export async function allRefused(context: Context, scene: Scene, rows: readonly Row[]): Promise<readonly string[]> {
  const told = new Map<Row, string>()
  const broken: string[] = []
  const reachedBy = (row: Row, outcome: Outcome | undefined): boolean => sawIn(outcome).some((path) => row.sees?.includes(path) !== true)
  let waiting = rows
  await context.until('every attempt to be refused', async () => {
    const outcomes = await performed(context, scene, 'refused', waiting)
    const wrong = waiting.filter((row, at) => {
      told.set(row, wordsOf(outcomes[at]))
      if (reachedBy(row, outcomes[at])) broken.push(`${row.name}: ${wordsOf(outcomes[at])}`)
      return !row.refused.test(wordsOf(outcomes[at]))
    })
    waiting = wrong
    return wrong.length === 0 || broken.length > 0
  }, 20_000).catch(() => {})
  const wrong = waiting.map((row) => `${row.name}: ${told.get(row) ?? ''} in place of ${String(row.refused)}`)
  assert.deepEqual([...broken, ...wrong], [])
  return rows.map((row) => `${row.name}: ${told.get(row) ?? ''}`)
}

/** How often pods of the application were asked by attempts that were to be refused, whatever came of the answer. Ask when the policies are gone. */
export async function arrivedAll(context: Context, { ip }: Scene): Promise<number> {
  const stranger = await context.driver('outside', 'stranger')
  const counts = await Promise.all([ip.v1, ip.v2, ip.plot, ip.patch].map((address) => context.until(`${address} to say what it has seen`, async () => {
    const { status, body = '' } = await stranger.request(`http://${address}:8080/seen?key=refused`, { fresh: true })
    return status === 200 && (JSON.parse(body) as { readonly count: number })
  }, 20_000)))
  return counts.reduce((sum, { count }) => sum + count, 0)
}

/** By a key that the application counts. */
function keyed(attempt: Attempt, key: string): Attempt {
  const { say } = attempt
  if (!('text' in say)) return attempt
  return { ...attempt, say: { ...say, text: say.text.replaceAll('\r\n\r\n', `\r\nx-key: ${key}\r\n\r\n`) } }
}

/** One process for each pod, and all attempts of a pod at once. */
async function performed(context: Context, scene: Scene, key: string, tries: readonly Try[]): Promise<readonly (Outcome | undefined)[]> {
  const outcomes: Outcome[] = []
  await Promise.all((Object.keys(actors) as Actor[]).map(async (actor) => {
    const own = tries.flatMap((each, at) => (each.by === actor ? [{ at, attempt: keyed(each.attempt(scene), key) }] : []))
    if (own.length === 0) return
    const [role, pod] = actors[actor]
    const of = await attempt(context, role, own.map((each) => each.attempt), pod)
    own.forEach(({ at }, index) => {
      const outcome = of[index]
      if (outcome !== undefined) outcomes[at] = outcome
    })
  }))
  return outcomes
}
