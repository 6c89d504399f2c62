import type { ResourceSet } from '../api/resources.ts'
import { createInfraWriter } from '../infra/apply.ts'
import type { Installation } from '../infra/installation.ts'
import type { Clock } from '../kit/clock.ts'
import { growFreely } from '../kit/collections.ts'
import type { Readiness } from '../kit/ready.ts'
import type { KubeClient } from '../kube/client.ts'
import type { Identity } from '../model/identity.ts'
import { formatSpiffeId } from '../model/identity.ts'
import { install } from '../model/install.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { controllerName, type ObjectStatus } from '../model/status.ts'
import { listenControl, type ControlServer } from '../publish/listen.ts'
import { createPeerAcks } from '../publish/peers.ts'
import { createPublisher } from '../publish/publisher.ts'
import { watchCluster } from '../sources/kube/source.ts'
import { createRecorder } from '../status/recorder.ts'
import { createStatusWriter } from '../status/writer.ts'
import { keepCredentials } from '../transport/credentials.ts'
import { isMeshNamespace } from '../translate/labels.ts'
import type { Translation } from '../translate/options.ts'
import { createTranslator } from '../translate/translator.ts'
import { createBundleWriter } from './ca/bundle-writer.ts'
import { openClusterCa, type ClusterCa } from './ca/cluster-ca.ts'
import { mayActFor } from './capture-plan.ts'
import { watchAgentless } from './agentless.ts'
import { createCaptureWriter } from './captures.ts'
import { agentOf, mayHave, meshNamespaces, otherControllers, withTooLarge } from './cluster.ts'
import { watchDefinitions } from './definitions.ts'
import { help } from './findings.ts'
import type { ControllerCounters } from './controller-metrics.ts'
import { startLeaderElection } from './leader.ts'
import { createLeading } from './leading.ts'
import { createProgramming } from './programming.ts'
import { describeAll } from './reporter.ts'
import { createTokenReviewer } from './token-review.ts'

export interface ControllerOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly readiness: Readiness
  /** Of this pod: who it is in the election and in Events. */
  readonly pod: string
  /** Of this pod, to tell itself from other controllers; undefined: it looks for no others. */
  readonly podIp?: string | undefined
  readonly installation: Installation
  readonly svidLifetimeMs: number
  readonly ownCaSecret?: string | undefined
  /** Whether the installation has an agent on its nodes; without one, pods are reached in plain. */
  readonly nodeAgent?: boolean
  /** Where configuration and certificates are served; 0 = any. */
  readonly host: string
  readonly port: number
  readonly counters: ControllerCounters
  /** One line for a person. */
  readonly log: (line: string) => void
}

/** The control plane of a cluster, as one of its controllers. */
export interface Controller {
  readonly ca: ClusterCa
  readonly control: ControlServer
  readonly leading: () => boolean
  readonly resources: () => ResourceSet
  readonly snapshot: () => Snapshot
  readonly statuses: () => readonly ObjectStatus[]
  /** Everything that is wrong now, a line each. */
  readonly troubles: () => readonly string[]
  /** Gives the Lease back and sends subscribers elsewhere. */
  readonly close: () => Promise<void>
}

/**
 * Starts a controller. It serves configuration as soon as it has seen the whole cluster, and writes only while it holds the Lease.
 * @throws {CaError} if the CA is not whole
 * @throws {KubeError} if the API server can not be asked
 * @throws the listen error
 */
export async function startController(options: ControllerOptions): Promise<Controller> {
  const closers: (() => unknown)[] = []
  try {
    return await compose(options, closers)
  } catch (error) {
    for (const close of closers.reverse()) await close()
    throw error
  }
}

async function compose(options: ControllerOptions, closers: (() => unknown)[]): Promise<Controller> {
  const { client, clock, readiness, installation, log, counters } = options
  const { namespace, trustDomain } = installation
  const identity: Identity = { trustDomain, namespace, serviceAccount: install.controller }
  const published = readiness.register('configuration', 'the cluster has not been read yet')
  const translated = Promise.withResolvers<undefined>()
  const growAsUsual = growFreely()
  closers.push(growAsUsual)
  void translated.promise.then(growAsUsual)
  const caSecret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: install.caSecret, namespace } } as const
  const recorder = createRecorder({
    client, clock, random: Math.random, controllerName, instance: options.pod, log, observe: counters.status.event ?? (() => {}),
  })
  const ca = await openClusterCa({
    client, clock, namespace, trustDomain, svidLifetimeMs: options.svidLifetimeMs, ownSecret: options.ownCaSecret, log,
    observer: counters.source('ca'),
    onEvent: ({ type, reason, message }) => recorder.record(caSecret, [{ type, reason, note: message, identity: ['ca', reason, message] }]),
  })
  closers.push(ca.close)
  const credentials = await keepCredentials({
    identity, clock,
    fetch: (publicKeyPem) => ca.issue(identity, publicKeyPem),
    onError: (error) => log(`certificate of ${formatSpiffeId(identity)}: ${error.message}`),
  })
  closers.push(ca.onBundleChange(credentials.updateBundle), credentials.close)

  const publisher = createPublisher()
  const status = createStatusWriter({
    client, clock, controllerName, instance: options.pod, log, observer: counters.status,
    advice: (reason) => help[reason]?.advice,
    apiVersion: (kind) => source.servedVersion(kind),
  })
  const infra = createInfraWriter({ client, clock, installation, log, observer: counters.source('infra') })
  const bundles = createBundleWriter({ client, clock, namespace, log, observer: counters.source('trust-bundle') })
  const captures = createCaptureWriter({ client, clock, recorder, log, onForeign: counters.foreignReport })
  const agentless = watchAgentless({ clock, recorder })
  const lead = createLeading({ work: [recorder, status, infra, ca, captures, agentless], later: [bundles], settled: ca.idle, log })
  closers.push(status.close, infra.close, bundles.close, captures.close, agentless.close)

  let resources: ResourceSet | undefined
  let namespaces: ReadonlySet<string> = new Set()
  const writeBundles = (): void => bundles.update(namespaces, ca.bundle(), ca.info())
  closers.push(ca.onChange(writeBundles))
  const translate = createTranslator()
  const inMesh = (of: string): boolean => resources !== undefined && isMeshNamespace(resources, of)
  let waypoints: Translation['infra'] = []
  let tooLarge = ''
  const programming = createProgramming({
    clock,
    translate: (from, readyWaypoints) => {
      const beganMs = performance.now()
      const translation = translate(from, { trustDomain, rootNamespace: namespace, nodeAgent: options.nodeAgent === true && 'reported', readyWaypoints, infraProblems: withTooLarge(infra.problems(), publisher.tooLarge(), waypoints) })
      counters.translated(performance.now() - beganMs, translation)
      return translation
    },
    publish: (snapshot) => {
      publisher.publish(snapshot)
      const now = [...publisher.tooLarge().keys()].sort().join()
      if (now !== tooLarge) programming.again()
      tooLarge = now
    },
    holdings: () => [...control.acknowledgements(), ...peers.acknowledgements()],
    expected: (of) => publisher.hash({ kind: 'waypoint', namespace: of }),
    onTranslation: (translation: Translation, from) => {
      waypoints = translation.infra
      infra.update(translation.infra, from)
      namespaces = meshNamespaces(from, translation.infra)
      writeBundles()
      published.ready()
      translated.resolve(undefined)
    },
    onStatuses: ({ statuses, warnings }, from) => status.update({ statuses, warnings, resources: from }),
    log,
  })
  closers.push(programming.close, infra.onProblemsChange(programming.again))

  const control = await listenControl({
    credentials, host: options.host, port: options.port, trustDomain, clock, publisher,
    issue: ca.issue, onBundleChange: ca.onBundleChange, ready: translated.promise,
    reviewToken: createTokenReviewer({ client, trustDomain }),
    authorize: (who, subscriber) => mayHave(who, subscriber, programming.translation().snapshot, identity),
    mayActFor: (owner, who) => resources === undefined ? 'the cluster has not been read yet' : mayActFor(owner, who, resources.Pod, inMesh, agentOf(identity)),
    observer: counters.control,
  })
  closers.push(() => control.close(), control.onAcknowledged(() => acknowledged()))
  const peers = createPeerAcks({
    credentials, clock, instance: control.instance, controllerId: formatSpiffeId(identity),
    resolve: () => (resources === undefined || options.podIp === undefined ? [] : otherControllers(resources, namespace, options.podIp)),
    onChange: () => acknowledged(), onTrouble: log,
  })
  const reportCaptures = (): void => {
    if (resources === undefined) return
    const all = [...control.acknowledgements(), ...peers.acknowledgements()]
    captures.update(resources, all)
    if (options.nodeAgent === true) agentless.update(resources, all)
  }
  const acknowledged = (): void => {
    programming.acknowledged()
    reportCaptures()
  }
  closers.push(peers.close)
  const definitions = watchDefinitions({ client, clock, readiness, log })
  closers.push(definitions.close)
  const source = watchCluster({
    client, clock, readiness, log, observer: counters.source('cluster'), onServed: definitions.again,
    onChange: (change) => {
      resources = change.resources
      programming.update(change.resources)
      peers.refresh()
      reportCaptures()
    },
  })
  closers.push(source.close)
  const election = startLeaderElection({
    client, clock, namespace, name: install.controller, identity: options.pod, log,
    onChange: lead,
  })
  counters.observe({ leading: election.leading, snapshot: () => programming.translation().snapshot, ca, control })

  return {
    ca, control,
    leading: election.leading,
    resources: source.resources,
    snapshot: () => programming.translation().snapshot,
    statuses: () => programming.translation().statuses,
    troubles: () => [...programming.defects(), ...source.problems(), ...definitions.problems(), ...ca.problems(), ...bundles.problems(), ...withTooLarge(infra.problems(), publisher.tooLarge(), waypoints).values(), ...describeAll([], programming.translation().statuses, programming.translation().warnings)],
    close: async () => {
      lead(false)
      await election.close()
      for (const close of closers.reverse()) await close()
    },
  }
}
