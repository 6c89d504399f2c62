import { isDeepStrictEqual } from 'node:util'
import { messageOf } from '../kit/message.ts'
import type { KubeClient } from '../kube/client.ts'
import { refOf } from '../kube/client.ts'
import { isStatus } from '../kube/errors.ts'
import type { KubeObject } from '../kube/object.ts'
import type { WaypointInfra, WaypointParameters } from '../model/infra.ts'
import { install } from '../model/install.ts'
import type { NamespacedName } from '../model/refs.ts'
import type { Installation } from './installation.ts'
import { appliedAnnotation, covers, foreign, ownsReplicas, project, stamped } from './live.ts'
import { deploymentProblem, refusal } from './problems.ts'
import { renderGateway, renderWaypoint } from './render.ts'
import type { Made } from './watches.ts'

/** How it stands with a waypoint after it was looked at. */
export interface Outcome {
  readonly problem: string | undefined
  /** `failed`: it is to be tried again, later each time; `look`: what is in the way may go without anybody telling; undefined: all is as it should be. */
  readonly again: 'failed' | 'look' | undefined
  readonly error?: unknown
}

export interface ReconcilerOptions {
  readonly client: KubeClient
  readonly made: Made
  readonly installation: Installation
  readonly log: (line: string) => void
  /** Asked before every write. */
  readonly mayWrite: () => boolean
}

type Complete = WaypointInfra & { readonly parameters: WaypointParameters }

const done: Outcome = { problem: undefined, again: undefined }
/** Source: RFC 1035 label names, which Services must have. */
const serviceName = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/

/**
 * Makes a function that brings what runs for one Gateway to what must run for it: reads what the watches do not know, writes what
 * differs, deletes what is not wanted. It may be called at any time and any number of times; it is not to be called twice at once for one Gateway.
 */
export function createReconciler({ client, made, installation, log, mayWrite }: ReconcilerOptions): (
  gateway: NamespacedName,
  infra: WaypointInfra | undefined,
  namespaceEnds: boolean,
) => Promise<Outcome> {
  /** What the server made of objects that it took but did not store as they were sent; to send them again would change nothing. */
  const accepted = new Map<string, { readonly hash: string | undefined; readonly projection: unknown }>()

  const apply = async (object: KubeObject, live: KubeObject | undefined): Promise<void> => {
    const answer = { ...(await client.apply(object, install.fieldManager)), apiVersion: object.apiVersion, kind: object.kind }
    made.wrote(answer)
    log(`${live === undefined ? 'made' : 'changed'} ${describe(object)}`)
    if (covers(answer, object)) accepted.delete(describe(object))
    else accepted.set(describe(object), { hash: hashOf(object), projection: project(answer, object) })
  }

  const isAsWanted = (live: KubeObject, object: KubeObject): boolean => {
    if (covers(live, object)) return true
    const known = accepted.get(describe(object))
    return known?.hash === hashOf(object) && isDeepStrictEqual(project(live, object), known?.projection)
  }

  const remove = async (object: KubeObject): Promise<void> => {
    if (object.metadata.deletionTimestamp !== undefined || foreign(object, object.metadata.name) !== undefined || !mayWrite()) return
    await client.remove(refOf(object), object.metadata.uid)
    made.removed(object)
    accepted.delete(describe(object))
    log(`deleted ${describe(object)}`)
  }

  const makeGateway = async ({ namespace, name }: WaypointInfra): Promise<Outcome> => {
    const object = renderGateway(namespace, name)
    if (!mayWrite()) return done
    try {
      await client.create(object, { query: { fieldManager: install.fieldManager } })
      log(`made ${describe(object)}`)
      return { problem: undefined, again: 'look' }
    } catch (error) {
      // An earlier one that is on its way out, or this one that the watch has not told yet.
      if (isStatus(error, 409)) return { problem: undefined, again: 'failed', error }
      return { problem: refusal(error, object), again: 'failed', error }
    }
  }

  const bring = async (gateway: NamespacedName, infra: Complete): Promise<Outcome> => {
    const objects = renderWaypoint(infra, installation, replicasFor(infra, made.get('Deployment', gateway))).map(stamped)
    const lives = new Map<KubeObject, KubeObject | undefined>()
    for (const object of objects) {
      let live = made.get(object.kind, gateway)
      try {
        // The watches see labelled ones only.
        live ??= await client.read(refOf(object))
      } catch (error) {
        return { problem: refusal(error, object), again: 'failed', error }
      }
      const inTheWay = live === undefined ? undefined : foreign({ ...live, kind: object.kind }, infra.name)
      if (inTheWay !== undefined) return { problem: inTheWay, again: 'look' }
      lives.set(object, live)
    }
    let again: Outcome['again']
    for (const object of objects) {
      const live = lives.get(object)
      if (live?.metadata.deletionTimestamp !== undefined) again = 'look'
      else if (live === undefined || !isAsWanted(live, object)) {
        if (!mayWrite()) return done
        try {
          await apply(object, live)
        } catch (error) {
          return { problem: refusal(error, object), again: 'failed', error }
        }
      }
    }
    await removeAll(made.of(gateway).filter((live) => !objects.some(({ kind }) => kind === live.kind)))
    return { problem: troubleOf(gateway), again }
  }

  const removeAll = async (objects: readonly KubeObject[]): Promise<void> => {
    for (const object of objects) await remove(object)
  }

  const troubleOf = (gateway: NamespacedName): string | undefined => {
    const deployment = made.get('Deployment', gateway)
    return deployment === undefined ? undefined : deploymentProblem(deployment)
  }

  return async (gateway, infra, namespaceEnds) => {
    // Everything in it goes by itself, and nothing new can be made.
    if (namespaceEnds) return done
    try {
      if (infra === undefined) {
        await removeAll(made.of(gateway))
        return done
      }
      if (infra.gatewayUid === undefined) return await makeGateway(infra)
      if (!serviceName.test(infra.name)) {
        const problem = `${infra.name} can not be the name of a Service, which a waypoint needs; name the Gateway with at most 63 lower-case letters, digits and -, beginning with a letter`
        return { problem, again: undefined }
      }
      if (!isComplete(infra)) return { problem: troubleOf(gateway), again: undefined }
      return await bring(gateway, infra)
    } catch (error) {
      return { problem: `something can not be deleted: ${messageOf(error)}`, again: 'failed', error }
    }
  }
}

/**
 * How many replicas to ask for. When the autoscaler has said a number, it is left out; until then it must stay, since what is left
 * out and nobody else has set falls back to 1.
 */
function replicasFor({ parameters }: Complete, live: KubeObject | undefined): number | 'autoscaler' | undefined {
  const { autoscaling } = parameters
  if (autoscaling === undefined || live === undefined) return undefined
  if (!ownsReplicas(live, install.fieldManager)) return 'autoscaler'
  const present = (live['spec'] as { readonly replicas?: number } | undefined)?.replicas ?? autoscaling.minReplicas
  return Math.min(Math.max(present, autoscaling.minReplicas), autoscaling.maxReplicas)
}

function isComplete(infra: WaypointInfra): infra is Complete {
  return infra.parameters !== undefined
}

function hashOf({ metadata }: KubeObject): string | undefined {
  return metadata.annotations?.[appliedAnnotation]
}

function describe({ kind, metadata }: KubeObject): string {
  return `${kind} ${metadata.namespace ?? ''}/${metadata.name}`
}
