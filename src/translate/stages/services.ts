import type { ResourceSet } from '../../api/resources.ts'
import type { NamespacedName } from '../../model/refs.ts'
import type { Warning } from '../../model/status.ts'
import { createGrouping, createSorting, keepLast, perObject } from '../memo.ts'
import { compareText } from '../order.ts'
import { addressWarnings, readService, type ServiceInfo } from '../services.ts'

/** Every Service, read. */
export interface Services {
  readonly byKey: ReadonlyMap<NamespacedName, ServiceInfo>
  /** In name order. */
  readonly sorted: readonly ServiceInfo[]
  /** Those that can be parents of routes, by namespace, in name order. */
  readonly parents: ReadonlyMap<string, readonly ServiceInfo[]>
  readonly warnings: readonly Warning[]
}

/** Reads Services: each one once. */
export function createServiceStage(): (services: ResourceSet['Service']) => Services {
  const read = perObject(readService)
  const sort = createSorting<ServiceInfo>((a, b) => compareText(a.key, b.key))
  const group = createGrouping<ServiceInfo>(({ type, namespace }) => (type === 'virtual' ? namespace : undefined), (a, b) => compareText(a.name, b.name))
  return keepLast((services) => {
    const byKey = new Map<NamespacedName, ServiceInfo>()
    for (const service of services.values()) {
      const info = read(service)
      byKey.set(info.key, info)
    }
    const sorted = sort(byKey).values
    return { byKey, sorted, parents: group(byKey), warnings: addressWarnings(sorted) }
  })
}
