import { isMap, isSeq, parseAllDocuments, visit, Document } from 'yaml'
import { resourceSetOf, type Resource } from '../../api/resources.ts'
import type { NamespacedName } from '../../model/refs.ts'
import { describeRef } from '../../model/refs.ts'
import type { Condition, ObjectStatus } from '../../model/status.ts'
import type { SocketAddress, TranslateOptions } from '../options.ts'
import { translate } from '../translate.ts'

/** A first document of this kind in an input sets options; it is no object of any API. */
interface OptionsDocument {
  readonly kind: 'Options'
  readonly trustDomain?: string
  readonly waypointAddresses?: Readonly<Record<NamespacedName, readonly SocketAddress[]>>
  readonly readyWaypoints?: readonly NamespacedName[]
  readonly hbonePort?: number
  readonly nodeAgent?: TranslateOptions['nodeAgent']
  readonly infraProblems?: Readonly<Record<NamespacedName, string>>
}

/** What a `# show:` line can choose; without one everything but `infra` is. */
const sections = ['enrolment', 'service', 'endpoints', 'policy', 'routes', 'workload', 'waypoint', 'speakers', 'statuses', 'infra', 'warnings'] as const
/** Without a `# show:` line, what is the same for every waypoint stays out. */
const usual = sections.filter((section) => section !== 'infra')

/** Reads the objects and options of an input. */
export function readInput(text: string): { readonly objects: readonly Resource[]; readonly options: TranslateOptions } {
  const documents = parseAllDocuments(text)
  for (const document of documents) if (document.errors[0] !== undefined) throw document.errors[0]
  const values = documents.map((document) => document.toJS() as Resource | OptionsDocument | null).filter((value) => value !== null)
  const given = values.find((value): value is OptionsDocument => value.kind === 'Options')
  return {
    objects: values.filter((value): value is Resource => value.kind !== 'Options'),
    options: {
      trustDomain: given?.trustDomain ?? 'cluster.local',
      ...(given?.waypointAddresses === undefined ? {} : { waypointAddresses: new Map(Object.entries(given.waypointAddresses)) }),
      ...(given?.readyWaypoints === undefined ? {} : { readyWaypoints: new Set(given.readyWaypoints) }),
      ...(given?.hbonePort === undefined ? {} : { hbonePort: given.hbonePort }),
      ...(given?.nodeAgent === undefined ? {} : { nodeAgent: given.nodeAgent }),
      ...(given?.infraProblems === undefined ? {} : { infraProblems: new Map(Object.entries(given.infraProblems)) }),
    },
  }
}

/** The golden output of an input: the sections that it shows, small maps and lists on one line. */
export function renderGolden(text: string): string {
  const { objects, options } = readInput(text)
  const { snapshot, statuses, warnings, infra } = translate(resourceSetOf(objects), options)
  const shown = /^# show: (.*)$/m.exec(text)?.[1]?.split(/[ ,]+/) ?? usual
  for (const each of shown) if (!sections.some((section) => section === each)) throw new Error(`# show: knows no ${each}`)
  const entries = [...snapshot].filter(([, { kind }]) => shown.includes(kind)).map(([key, entry]) => [key, withoutKey(entry)] as const)
  const byRef = Object.fromEntries(statuses.map((status) => [describeRef(status.ref), renderStatus(status)]))
  const document = new Document({
    ...(entries.length === 0 ? {} : { snapshot: Object.fromEntries(entries) }),
    ...(shown.includes('statuses') && statuses.length > 0 ? { statuses: byRef } : {}),
    ...(shown.includes('infra') ? { infra: Object.fromEntries(infra.map((each) => [`${each.namespace}/${each.name}`, withoutKey(each)])) } : {}),
    ...(shown.includes('warnings') && warnings.length > 0
      ? { warnings: warnings.map(({ ref, field, message, advice }) => ({ of: describeRef(ref), field, message, advice })) }
      : {}),
  }, { aliasDuplicateObjects: false })
  visit(document, {
    Collection: (_key, node, path) => {
      if (path.length > 3 && (isMap(node) || isSeq(node)) && JSON.stringify(node).length < 110) node.flow = true
    },
  })
  return document.toString({ lineWidth: 0, flowCollectionPadding: true })
}

/** The key already says kind, namespace and name. */
function withoutKey(entry: object): object {
  const inKey = ['kind', 'namespace', 'name', 'level', 'service', 'port']
  return Object.fromEntries(Object.entries(entry).filter(([name]) => !inKey.includes(name)))
}

function renderStatus(status: ObjectStatus): unknown {
  switch (status.kind) {
    case 'route':
      return status.parents.map(({ parentRef, conditions }) => ({ parentRef, conditions: conditions.map(renderCondition) }))
    case 'policy':
      return status.ancestors.map(({ ancestorRef, conditions }) => ({ ancestorRef, conditions: conditions.map(renderCondition) }))
    case 'gateway':
      return {
        addresses: status.addresses,
        conditions: status.conditions.map(renderCondition),
        listeners: status.listeners.map((listener) => ({
          name: listener.name,
          attachedRoutes: listener.attachedRoutes,
          supportedKinds: listener.supportedKinds.map(({ kind }) => kind),
          conditions: listener.conditions.map(renderCondition),
        })),
      }
    case 'gatewayclass':
      return { conditions: status.conditions.map(renderCondition), supportedFeatures: status.supportedFeatures.map(({ name }) => name) }
  }
}

/** All of a condition on a line; `@n` is the observed generation. */
function renderCondition({ type, status, reason, message, observedGeneration }: Condition): string {
  return `${type}=${status} ${reason} @${observedGeneration}: ${message}`
}
