import { join } from 'node:path'
import { messageOf } from '../../src/kit/message.ts'
import { entryOf, inARow, type Case, type Context, type Entry, type Place } from './case.ts'
import { agentsOf } from './agents.ts'
import { capturedPlace } from './captured.ts'
import { collect } from './collect.ts'
import type { Installation } from './install.ts'
import type { Kube } from './kube.ts'
import { lifetimesOf } from './lifetimes.ts'
import { often } from './often.ts'
import { applyInForce, makePlace, standingPlace, type Standing } from './place.ts'
import { placeObject } from './roles.ts'
import { inParallel, until } from './wait.ts'

export interface RunOptions {
  readonly kube: Kube
  readonly installation: Installation
  readonly parallel: number
  /** Where logs go when a case fails. */
  readonly logs: string
  readonly signal: AbortSignal
  readonly say: (line: string) => void
}

/** Failures whose logs are kept: after some, the next ones tell nothing new and cost minutes. */
const loggedFailures = 5

export interface Tally {
  readonly passed: number
  readonly failed: number
  readonly failures: readonly string[]
}

/** Runs cases as their groups ask for (see case.ts), those of `traffic` several at a time. Never throws for a case. */
export async function runCases(cases: readonly Case[], options: RunOptions): Promise<Tally> {
  const { kube, installation, parallel, signal, say } = options
  const failures: string[] = []
  const open = new Set<Standing>()
  let passed = 0
  const isStopped = (): boolean => signal.aborted
  const begun = (standing: Standing): void => void open.add(standing)
  const { images } = installation
  const standing: { [Way in Entry]?: Promise<Standing> } = {}
  /** Made when the first case asks for it. */
  const shared = (entry: Entry): Promise<Standing> =>
    (standing[entry] ??= makePlace(kube, entry === 'connect' ? standingPlace : capturedPlace, { images, entry, signal, onStart: begun }).catch((error: unknown) => {
      throw new Error(`the standing place was not made: ${messageOf(error)}`)
    }))

  /** Places of cases that passed, for the next ones with the very same place. */
  const handedOn = new Map<Place, Standing>()
  const waiting = new Set(cases)
  const agents = agentsOf(kube, installation, signal, say)
  const lifetimes = lifetimesOf(kube, installation, signal, say)

  /** @param onPlace called when its namespaces are there */
  const runOne = async (one: Case, onPlace: () => void = () => {}): Promise<void> => {
    if (isStopped()) return
    waiting.delete(one)
    const start = performance.now()
    const lasted = (): string => `${((performance.now() - start) / 1000).toFixed(1)} s`
    // Also what was made only in part.
    const own: Standing[] = []
    const entry = entryOf(one)
    const wanted = placeOf(one)
    const handed = wanted === undefined ? undefined : handedOn.get(wanted)
    if (wanted !== undefined) handedOn.delete(wanted)
    if (handed !== undefined) own.push(handed)
    try {
      if (one.svidLifetimeSeconds !== undefined) {
        await lifetimes.change(one.svidLifetimeSeconds)
        await lifetimes.settled()
      }
      const onStart = (made: Standing): void => {
        own.push(made)
        begun(made)
      }
      const place = await (wanted === undefined ? shared(entry) : (handed ?? makePlace(kube, wanted, { images, entry, signal, onStart })))
      onPlace()
      const told = await perform(one, place, options)
      // Only from a case that passed: what a failed one leaves may be damaged. And not to one whose clients enter the mesh otherwise.
      const [made] = own
      const isNext = (next: Case): boolean => next.place === wanted && entryOf(next) === entry
      if (wanted !== undefined && made !== undefined && [...waiting].some(isNext)) handedOn.set(wanted, made)
      passed++
      say(`ok    ${one.name} (${lasted()})${told === undefined ? '' : `: ${told}`}`)
    } catch (error) {
      if (isStopped()) {
        say(`      ${one.name}: stopped`)
        for (const made of own) await made.end()
        return
      }
      failures.push(one.name)
      say(`FAIL  ${one.name} (${lasted()})\n${indent(error)}`)
      const folder = join(options.logs, one.name.replace(/[^\w]+/g, '-'))
      if (failures.length <= loggedFailures) {
        const places = wanted === undefined ? [...open] : own
        await collect(kube, [installation.namespace, ...places.flatMap(({ namespaces }) => namespaces)], folder)
        say(`      logs: ${folder}`)
      }
    }
    for (const made of own) {
      if (wanted !== undefined && handedOn.get(wanted) === made) continue
      await made.end()
      open.delete(made)
    }
  }

  /** Changes the installation before a group begins: controllers restart beside none of its cases, and certificates follow only when they are renewed. */
  const prepare = async (some: readonly Case[]): Promise<void> => {
    const lifetime = some.find(({ svidLifetimeSeconds }) => svidLifetimeSeconds !== undefined)?.svidLifetimeSeconds
    // The case itself fails with it, if it does so again.
    if (lifetime !== undefined) await lifetimes.change(lifetime).catch(() => {})
  }
  const endAll = async (): Promise<void> => {
    await Promise.all([...open].map((place) => place.end()))
    open.clear()
  }
  /** Ends the standing place of captured pods, unless it is needed: nobody may be in the mesh any more when agents go. */
  const endStanding = async (isNeeded: () => boolean): Promise<void> => {
    const place = isNeeded() ? undefined : await standing.captured?.catch(() => undefined)
    if (place === undefined) return
    delete standing.captured
    open.delete(place)
    await place.end()
  }
  const group = (wanted: NonNullable<Case['group']>): readonly Case[] => cases.filter((one) => (one.group ?? 'traffic') === wanted)
  if (cases.some((one) => one.group !== 'captured')) await agents.change(false)
  const traffic = ownPlaceFirst(group('traffic'))
  const standingFrom = traffic.findIndex((one) => placeOf(one) === undefined)
  const making = standingFrom === -1 ? traffic : traffic.slice(0, standingFrom)
  await inParallel(making, parallel, (one) => runOne(one))
  await prepare(group('background'))
  const background = group('background').map((one) => {
    const placed = Promise.withResolvers<undefined>()
    const onPlace = (): void => placed.resolve(undefined)
    return { placed: placed.promise, done: runOne(one, onPlace).finally(onPlace) }
  })
  // They expect that nothing fails: not of a machine that is at its limit.
  const besides = background.length === 0 ? parallel : Math.ceil(parallel / 2)
  await inParallel(traffic.slice(making.length), besides, (one) => runOne(one))
  // Nothing is measured while pods are being made.
  await Promise.all(background.map(({ placed }) => placed))
  for (const one of group('measured')) await runOne(one)
  await Promise.all(background.map(({ done }) => done))
  await prepare(group('disruptive'))
  for (const one of group('disruptive')) await runOne(one)
  await endAll()
  const captured = group('captured')
  if (captured.length > 0 && !isStopped()) await agents.change(true)
  await inParallel(chains(ownPlaceFirst(captured.filter(({ beside }) => beside))), parallel, async (chain) => {
    for (const one of chain) await runOne(one)
  })
  await endStanding(() => [...waiting].some((next) => placeOf(next) === undefined))
  for (const one of captured.filter(({ beside }) => beside !== true)) {
    const failed = failures.length
    await runOne(one)
    // What a failed one leaves may be damaged.
    if (placeOf(one) === undefined) await endStanding(() => failures.length === failed && [...waiting].some((next) => placeOf(next) === undefined))
  }
  await endAll()
  return { passed, failed: failures.length, failures }
}

/** A case's own place; undefined: the standing one of its entry. */
function placeOf({ place }: Case): Place | undefined {
  return place === capturedPlace ? undefined : place
}

/** Those that make their own namespaces take longest and begin first. */
function ownPlaceFirst(cases: readonly Case[]): readonly Case[] {
  return [...cases].sort((a, b) => Number(placeOf(a) === undefined) - Number(placeOf(b) === undefined))
}

/** Captured cases that have a place of their own in common are done one after another, for each hands it on. */
export function chains(cases: readonly Case[]): readonly (readonly Case[])[] {
  const made = new Map<unknown, Case[]>()
  for (const one of cases) {
    const key = placeOf(one) ?? one
    made.set(key, [...(made.get(key) ?? []), one])
  }
  return [...made.values()]
}

/** Applies what a case needs and runs it within its time. */
async function perform(one: Case, place: Standing, { kube, installation, signal, say }: RunOptions): Promise<string | undefined> {
  const setUp = AbortSignal.any([signal, AbortSignal.timeout(180_000)])
  const placed: Context['placed'] = (objects) => objects.map((object) => placeObject(object, place.names))
  await applyInForce(kube, placed(one.manifests), one.notInForce ?? [], setUp)

  const limitMs = (one.limitSeconds ?? 60) * 1000
  const limited = AbortSignal.any([signal, AbortSignal.timeout(limitMs)])
  const url: Context['url'] = (role, service, path = '/', port = 80) => `http://${service}.${place.namespace(role)}${port === 80 ? '' : `:${port}`}${path}`
  const entry = entryOf(one)
  const context: Context = {
    kube, installation, placed, url, entry,
    inARow: (assertions) => often(entry === 'captured' ? inARow : 1, assertions, limited),
    signal: limited,
    namespace: place.namespace,
    client: place.client,
    driver: place.driver,
    target: (role, service, port) => `${service}.${place.namespace(role)}:${port}`,
    apply: (objects, notInForce = []) => applyInForce(kube, placed(objects), notInForce, limited),
    until: (what, probe, withinMs) => until(what, probe, { signal: limited, ...(withinMs === undefined ? {} : { withinMs }) }),
    log: (line) => say(`      ${one.name}: ${line}`),
  }
  const late = Promise.withResolvers<never>()
  const onAbort = (): void => late.reject(new Error(signal.aborted ? 'the run was stopped' : `it took longer than ${limitMs / 1000} s`))
  limited.addEventListener('abort', onAbort, { once: true })
  try {
    return (await Promise.race([one.run(context), late.promise])) ?? undefined
  } finally {
    limited.removeEventListener('abort', onAbort)
  }
}

function indent(error: unknown): string {
  // What was added to the message later is not in the stack.
  const text = error instanceof Error ? `${error.name}: ${error.message}\n${(error.stack ?? '').split('\n').filter((line) => line.startsWith('    at ')).join('\n')}` : String(error)
  return text.split('\n').slice(0, 30).map((line) => `      ${line}`).join('\n')
}
