import { isDeepStrictEqual } from 'node:util'
import type { ResourceSet } from '../api/resources.ts'
import { install } from '../model/install.ts'
import type { Warning } from '../model/status.ts'
import { serviceOfSlice } from './endpoints.ts'
import { labelWarnings } from './labels.ts'
import { createGrouping, keepLast, perObject, sameItems } from './memo.ts'
import { meshPort, type FixedOptions, type TranslateOptions, type Translation } from './options.ts'
import { compareNames, compareText } from './order.ts'
import { createScreen } from './screen.ts'
import { createRouteStage } from './stages/routes.ts'
import { createServiceStage } from './stages/services.ts'
import { createSnapshotStage } from './stages/snapshot.ts'
import { createStatusStage } from './stages/statuses.ts'
import { createWaypointStage } from './stages/waypoints.ts'

/**
 * `translate` that remembers what it made of objects which have not changed. Its answers are equal to those of `translate`, come sooner,
 * and what is equal to what it answered before is the same object. It knows objects by their identity: they must never be written to.
 */
export type Translator = (resources: ResourceSet, options: TranslateOptions) => Translation

/** Makes a translator that has seen nothing yet. */
export function createTranslator(): Translator {
  let fixed: FixedOptions | undefined
  let run: Stages | undefined
  return (resources, options) => {
    const { trustDomain, hbonePort = meshPort, nodeAgent = true, rootNamespace = install.namespace } = options
    const now = { trustDomain, hbonePort, nodeAgent, rootNamespace }
    try {
      run?.settle()
    } catch {
      // Whoever asked for those statuses was told.
      run = undefined
    }
    if (run === undefined || !isDeepStrictEqual(fixed, now)) {
      fixed = now
      run = createStages(fixed)
    }
    const stages = run
    // A stage that was cut short knows less than it believes.
    run = undefined
    const translation = stages.translate(resources, options)
    run = stages
    return translation
  }
}

interface Stages {
  readonly translate: Translator
  /** Makes what the last translation has not been asked for yet: a stage must see every state in its turn. */
  readonly settle: () => void
}

function createStages(fixed: FixedOptions): Stages {
  const screen = createScreen()
  const readServices = createServiceStage()
  const readWaypoints = createWaypointStage()
  const groupSlices = createGrouping(serviceOfSlice, compareNames)
  const readRoutes = createRouteStage()
  const makeSnapshot = createSnapshotStage(fixed)
  const makeStatuses = createStatusStage()
  const warnOfLabels = keepLast((Namespace: ResourceSet['Namespace'], Pod: ResourceSet['Pod'], Service: ResourceSet['Service']) =>
    labelWarnings({ Namespace, Pod, Service }),
  )
  const sortWarnings = createWarningSort()
  let owed: () => unknown = () => undefined
  const translate: Translator = (given, options) => {
    const { resources, warnings: misshapen } = screen(given)
    const { Namespace, Pod, Service, GatewayClass, Gateway, ConfigMap, EndpointSlice } = resources
    const services = readServices(Service)
    const waypoints = readWaypoints(GatewayClass, Gateway, Namespace, ConfigMap)
    const sources = { services: Service, slices: groupSlices(EndpointSlice), options }
    const routes = readRoutes(resources, services, waypoints)
    const { snapshot, policies, warnings: ofSlices } = makeSnapshot(resources, { services, waypoints, tables: routes.tables, changedTables: routes.changedTables, sources })
    const statuses = once(() => makeStatuses(resources, { waypoints, routes, policies, sources, options }))
    owed = statuses
    const warnings = [
      ...misshapen, ...warnOfLabels(Namespace, Pod, Service), ...services.warnings, ...waypoints.warnings, ...routes.warnings, ...ofSlices,
    ]
    return {
      snapshot,
      // Made when they are asked for: the snapshot need not wait for them.
      get statuses() {
        return statuses()
      },
      warnings: sortWarnings(warnings),
      infra: waypoints.infra,
    }
  }
  return { translate, settle: () => void owed() }
}

function once<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined
  return () => (made ??= { value: make() }).value
}

function createWarningSort(): (warnings: readonly Warning[]) => readonly Warning[] {
  const keyOf = perObject(({ ref, field, message }: Warning) => [ref.kind, ref.namespace, ref.name, field, message].join('\u0000'))
  let before: readonly Warning[] = []
  let sorted: readonly Warning[] = []
  return (warnings) => {
    if (!sameItems(before, warnings)) sorted = [...warnings].sort((a, b) => compareText(keyOf(a), keyOf(b)))
    before = warnings
    return sorted
  }
}
