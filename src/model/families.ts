import type { Endpoint } from './entries.ts'

const isInet6 = (address: string): boolean => address.includes(':')

/** By the whole list: it is asked for each connection. */
const divided = new WeakMap<readonly Endpoint[], readonly [four: readonly Endpoint[], six: readonly Endpoint[]]>()

/**
 * Of a Service with both families, the endpoints of the family of `address`, its cluster IP that is called: as kube-proxy has it, for an application
 * may listen on one family only. If there is none of that family, or `address` is undefined, all of them.
 * @returns the same list for the same list
 */
export function ofFamily(endpoints: readonly Endpoint[], address: string | undefined): readonly Endpoint[] {
  if (address === undefined) return endpoints
  let found = divided.get(endpoints)
  if (found === undefined) {
    const [four, six] = [endpoints.filter((each) => !isInet6(each.address)), endpoints.filter((each) => isInet6(each.address))]
    found = four.length === 0 || six.length === 0 ? [endpoints, endpoints] : [four, six]
    divided.set(endpoints, found)
  }
  return found[isInet6(address) ? 1 : 0]
}
