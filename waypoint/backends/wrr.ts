/** What a weighted picker chooses between. */
export interface Weighted {
  /** 0 or more; share = weight / sum of weights. */
  readonly weight: number
}

interface Contender<T> {
  readonly item: T
  readonly weight: number
  current: number
}

/**
 * Smooth weighted round robin: in each turn every item gains its weight and the richest pays the whole sum, so that any run of
 * choices has the shares of the weights within about one choice per item, evenly spread: 2:1 gives a, b, a, not a, a, b.
 * @returns a picker that gives undefined if no item has a weight above 0; items of weight 0 are never looked at
 * Source: the algorithm of nginx's upstream module.
 */
export function createWeightedPicker<T extends Weighted>(items: readonly T[]): () => T | undefined {
  const contenders: Contender<T>[] = items.filter((each) => each.weight > 0).map((item) => ({ item, weight: item.weight, current: 0 }))
  const only = contenders[0]?.item
  if (contenders.length <= 1) return () => only
  const total = contenders.reduce((sum, each) => sum + each.weight, 0)
  return () => {
    let richest: Contender<T> | undefined
    for (const each of contenders) {
      each.current += each.weight
      if (richest === undefined || each.current > richest.current) richest = each
    }
    if (richest === undefined) return undefined
    richest.current -= total
    return richest.item
  }
}
