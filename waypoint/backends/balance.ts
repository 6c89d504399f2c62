import type { Endpoint } from '../../src/model/entries.ts'

/** The endpoints of one backend, sorted out once when the snapshot arrived. `T` is an endpoint or whatever stands for one. */
export interface Candidates<T> {
  readonly ready: readonly T[]
  /** Terminating but still serving. */
  readonly draining: readonly T[]
}

/** What a choice depends on besides the candidates. */
export interface BalanceState<T> {
  /** Uniform in 0 ≤ x < 1. */
  readonly random: () => number
  /** Whether outlier detection took the endpoint out for now; undefined: nothing is taken out. */
  readonly isEjected?: (candidate: T) => boolean
}

/** Sorts endpoints out by their condition. */
export function candidatesOf<T>(all: readonly T[], conditionOf: (each: T) => Endpoint['condition']): Candidates<T> {
  return {
    ready: all.filter((each) => conditionOf(each) === 'ready'),
    draining: all.filter((each) => conditionOf(each) === 'draining'),
  }
}

/**
 * Picks an endpoint: of two drawn at random the one with the smaller load, which spreads nearly as evenly as looking at all of them.
 * Draining endpoints are used only while none is ready. Endpoints in `exclude` (tried already) are left out if there is another, even
 * an ejected one; ejected ones are left out unless all are: sending nowhere helps nobody.
 * @param load requests in flight, or any number that grows with them
 * @returns undefined if there is no endpoint; the caller answers `no-endpoint`
 * Source: M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing".
 */
export function pickEndpoint<T>(
  candidates: Candidates<T>,
  load: (candidate: T) => number,
  state: BalanceState<T>,
  exclude?: ReadonlySet<T>,
): T | undefined {
  const list = candidates.ready.length > 0 ? candidates.ready : candidates.draining
  return powerOfTwo(usable(list, state.isEjected, exclude), load, state.random)
}

function usable<T>(list: readonly T[], isEjected: BalanceState<T>['isEjected'], exclude: ReadonlySet<T> | undefined): readonly T[] {
  const untried = exclude === undefined || exclude.size === 0 ? list : list.filter((each) => !exclude.has(each))
  const others = untried.length > 0 ? untried : list
  // No list is made while nothing is ejected, which is nearly always.
  if (isEjected === undefined || !others.some(isEjected)) return others
  const healthy = others.filter((each) => !isEjected(each))
  return healthy.length > 0 ? healthy : others
}

function powerOfTwo<T>(list: readonly T[], load: (candidate: T) => number, random: () => number): T | undefined {
  const count = list.length
  if (count <= 1) return list[0]
  const first = Math.floor(random() * count)
  // One of the others, each as likely.
  const second = (first + 1 + Math.floor(random() * (count - 1))) % count
  const a = list[first]
  const b = list[second]
  if (a === undefined || b === undefined) return a ?? b
  return load(b) < load(a) ? b : a
}
