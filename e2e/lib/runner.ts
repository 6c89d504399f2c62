import { join } from 'node:path'
import type { Case, Context, Place } from './case.ts'
import { agentsOf } from './agents.ts'
import { collect } from './collect.ts'
import type { Installation } from './install.ts'
import type { Kube } from './kube.ts'
import { lifetimesOf } from './lifetimes.ts'
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
  let standing: Promise<Standing> | undefined
  /** Made when the first case asks for it. */
  const shared = (): Promise<Standing> => (standing ??= makePlace(kube, standingPlace, installation.images, signal, begun).catch((error: unknown) => {
      throw new Error(`the standing place was not made: ${error instanceof Error ? error.message : String(error)}`)
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
    const wanted = one.place
    const handed = wanted === undefined ? undefined : handedOn.get(wanted)
    if (wanted !== undefined) handedOn.delete(wanted)
    if (handed !== undefined) own.push(handed)
    try {
      if (one.svidLifetimeSeconds !== undefined) {
        await lifetimes.change(one.svidLifetimeSeconds)
        await lifetimes.settled()
      }
      const place = await (wanted === undefined ? shared() : (handed ?? makePlace(kube, wanted, installation.images, signal, (made) => {
        own.push(made)
        begun(made)
      })))
      onPlace()
      const told = await perform(one, place, options)
      // Only from a case that passed: what a failed one leaves may be damaged.
      const [made] = own
      if (wanted !== undefined && made !== undefined && [...waiting].some(({ place: next }) => next === wanted)) handedOn.set(wanted, made)
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
        const places = one.place === undefined ? [...open] : own
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
  const group = (wanted: NonNullable<Case['group']>): readonly Case[] => cases.filter((one) => (one.group ?? 'traffic') === wanted)
  if (cases.some((one) => one.group !== 'captured')) await agents.change(false)
  // Those that make their own namespaces take longest and begin first.
  const traffic = [...group('traffic')].sort((a, b) => Number(a.place === undefined) - Number(b.place === undefined))
  await inParallel(traffic, parallel, (one) => runOne(one))
  await prepare(group('background'))
  const background = group('background').map((one) => {
    const placed = Promise.withResolvers<undefined>()
    const onPlace = (): void => placed.resolve(undefined)
    return { placed: placed.promise, done: runOne(one, onPlace).finally(onPlace) }
  })
  // Nothing is measured while pods are being made.
  await Promise.all(background.map(({ placed }) => placed))
  for (const one of group('measured')) await runOne(one)
  await Promise.all(background.map(({ done }) => done))
  await prepare(group('disruptive'))
  for (const one of group('disruptive')) await runOne(one)
  await endAll()
  const captured = group('captured')
  if (captured.length > 0 && !isStopped()) await agents.change(true)
  for (const one of captured) await runOne(one)
  await endAll()
  return { passed, failed: failures.length, failures }
}

/** Applies what a case needs and runs it within its time. */
async function perform(one: Case, place: Standing, { kube, installation, signal, say }: RunOptions): Promise<string | undefined> {
  const setUp = AbortSignal.any([signal, AbortSignal.timeout(180_000)])
  const placed: Context['placed'] = (objects) => objects.map((object) => placeObject(object, place.names))
  await applyInForce(kube, placed(one.manifests), one.notInForce ?? [], setUp)

  const limitMs = (one.limitSeconds ?? 60) * 1000
  const limited = AbortSignal.any([signal, AbortSignal.timeout(limitMs)])
  const url: Context['url'] = (role, service, path = '/', port = 80) => `http://${service}.${place.namespace(role)}${port === 80 ? '' : `:${port}`}${path}`
  const context: Context = {
    kube, installation, placed, url,
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
