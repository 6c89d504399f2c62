import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startApiServer, type ApiRequest, type ApiServer } from '../../test/simulated/api-server.ts'
import { systemClock } from '../kit/clock.ts'
import { createReadiness } from '../kit/ready.ts'
import type { KubeObject } from '../kube/object.ts'
import { formatSpiffeId } from '../model/identity.ts'
import { gatewayNameLabel, install, ports } from '../model/install.ts'
import { policyRules, type PolicyRule } from '../model/rbac.ts'
import { controllerName } from '../model/status.ts'
import { joinMesh, type Member } from '../publish/join.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { caNames } from './ca/names.ts'
import { controllerCounters } from './controller-metrics.ts'
import { startController, type Controller } from './controller.ts'

const { namespace } = install
const gatewayApi = 'gateway.networking.k8s.io/v1'
const trustDomain = 'cluster.local'

/** Whether rules allow a request. Source: Kubernetes RBAC, "Referring to resources". */
function allows(rules: readonly PolicyRule[], request: Pick<ApiRequest, 'verb' | 'group' | 'resource' | 'subresource' | 'name' | 'query'>): boolean {
  const resource = request.subresource === '' ? request.resource : `${request.resource}/${request.subresource}`
  // Of a list or watch only a field selector says which name it is about; a name that is being made is not known.
  const name = request.verb === 'create' && request.subresource === '' ? undefined : request.name || /^metadata\.name=(.+)$/.exec(request.query.get('fieldSelector') ?? '')?.[1]
  return rules.some(({ apiGroups, resources, verbs, resourceNames }) =>
    apiGroups.includes(request.group) && resources.includes(resource) && verbs.includes(request.verb) && (resourceNames === undefined || (name !== undefined && resourceNames.includes(name))))
}

/** What the chart's ClusterRole and Role give to the controller, asked of each of its requests as the API server would. */
function mayController(request: ApiRequest): boolean {
  if (request.resource === '') return true
  const rules = [...policyRules('cluster'), ...(request.namespace === namespace ? policyRules('own') : [])]
  // Server-side apply may make what it does not find, and then needs the right to that too, under the object's name.
  const isApply = request.verb === 'patch' && request.query.has('fieldManager')
  return allows(rules, request) && (!isApply || allows(rules.filter(({ verbs }) => verbs.includes('create')).map((rule) => ({ ...rule, verbs: ['patch'] })), request))
}

describe('the rights of the controller', function () {
  this.timeout(60_000)
  let server: ApiServer
  let controller: Controller
  let directory: string
  const members: Member[] = []
  const refused = new Set<string>()
  const asked: ApiRequest[] = []
  const lines: string[] = []

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'waymark-rights-'))
    server = await startApiServer()
    server.forbid((request) => {
      if (request.token !== 'controller') return false
      asked.push(request)
      if (mayController(request)) return false
      refused.add(`${request.verb} ${request.path}`)
      return true
    })
    server.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
    server.put({ apiVersion: gatewayApi, kind: 'GatewayClass', metadata: { name: 'waypoint' }, spec: { controllerName } })
    conflictOnce('gatewayclasses')
    const readiness = createReadiness()
    controller = await startController({
      client: server.client({ token: 'controller' }), clock: systemClock, readiness, pod: 'controller-0', host: '127.0.0.1', port: 0, svidLifetimeMs: 3_600_000,
      installation: { namespace, trustDomain, image: 'waymark', imagePullPolicy: 'Never', imagePullSecrets: [], accessLog: 'none' },
      counters: controllerCounters(createMetrics(systemClock.now), systemClock.now), log: (line) => void lines.push(line),
    })
    await readiness.whenReady()
  })
  after(async () => {
    for (const member of members) await member.close()
    await controller.close()
    await server.close()
    rmSync(directory, { recursive: true, force: true })
  })

  /** The next status of a kind is only written at the second try, after a look at what is there. */
  const conflictOnce = (plural: string): void => {
    server.fault({ on: ({ verb, resource, subresource }) => verb === 'update' && subresource === 'status' && resource === plural, status: 409, reason: 'Conflict', times: 1 })
  }
  const eventually = async <T>(what: string, get: () => T | undefined | false): Promise<T> => {
    for (let turn = 0; turn < 2_000; turn++) {
      const found = get()
      if (found !== undefined && found !== false) return found
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    throw new Error(`it did not come about: ${what}; refused: ${[...refused].join(', ')}; said: ${lines.slice(-5).join('; ')}`)
  }
  const has = (kind: string, place: string, name: string) => () => server.get({ kind, namespace: place, name })
  const conditionOf = (object: KubeObject | undefined, type: string): string | undefined => {
    const { parents, conditions = parents?.[0]?.conditions ?? [] } = (object?.['status'] ?? {}) as { conditions?: { type: string; status: string }[]; parents?: { conditions: { type: string; status: string }[] }[] }
    return conditions.find((each) => each.type === type)?.status
  }

  it('suffice for everything that it does', async () => {
    // A namespace that asks for its waypoint by a label: Gateway, Deployment and all the rest.
    server.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels: { 'waymark.dev/mesh': 'enabled', 'waymark.dev/waypoint': 'auto' } } })
    await eventually('the Gateway', has('Gateway', 'shop', 'waypoint'))
    server.put({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'shop', name: 'mine', labels: { 'waymark.dev/config': 'parameters' } }, data: { maxReplicas: '5' } })
    await server.client().patch({ apiVersion: gatewayApi, kind: 'Gateway', namespace: 'shop', name: 'waypoint' }, { spec: { infrastructure: { parametersRef: { group: '', kind: 'ConfigMap', name: 'mine' } } } })
    const made = ['ServiceAccount', 'Service', 'PodDisruptionBudget', 'Deployment', 'HorizontalPodAutoscaler'] as const
    for (const kind of made) await eventually(kind, has(kind, 'shop', 'waypoint'))
    await eventually('the roots', has('ConfigMap', 'shop', install.bundleConfigMap))

    // A pod of it joins: a TokenReview, and a certificate.
    const bundle = server.get({ kind: 'ConfigMap', namespace, name: install.bundleConfigMap })
    const [bundleFile, tokenFile] = [join(directory, 'bundle.pem'), join(directory, 'token')]
    writeFileSync(bundleFile, (bundle?.['data'] as Readonly<Record<string, string>>)[install.bundleKey] ?? '')
    const pod = server.put({
      apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'shop', name: 'waypoint-0', labels: { [gatewayNameLabel]: 'waypoint' } },
      spec: { serviceAccountName: 'waypoint' }, status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
    })
    server.put({
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { namespace: 'shop', name: 'waypoint', labels: { 'kubernetes.io/service-name': 'waypoint' } }, addressType: 'IPv4',
      ports: [{ port: ports.hbone }], endpoints: [{ addresses: ['10.2.7.1'], conditions: { ready: true }, targetRef: { kind: 'Pod', namespace: 'shop', name: 'waypoint-0' } }],
    })
    writeFileSync(tokenFile, server.tokens.issue({ namespace: 'shop', serviceAccount: 'waypoint', audiences: [install.tokenAudience], pod: { name: 'waypoint-0', uid: pod.metadata.uid ?? '' } }))
    members.push(await joinMesh({
      controller: controller.control.address, controllerId: formatSpiffeId({ trustDomain, namespace, serviceAccount: install.controller }), tokenFile, bundleFile,
      identity: { trustDomain, namespace: 'shop', serviceAccount: 'waypoint' }, subscriber: { kind: 'waypoint', namespace: 'shop' }, pod: 'waypoint-0',
      clock: systemClock, signal: AbortSignal.timeout(30_000), onTrouble: (line) => void lines.push(line), onSnapshot: () => {},
    }))

    // Routes of every kind get their statuses; a bad one an Event.
    const parentRefs = [{ group: '', kind: 'Service', name: 'cart', port: 80 }]
    server.put({ apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'shop', name: 'cart' }, spec: { clusterIP: '10.96.3.3', ports: [{ port: 80 }] } })
    conflictOnce('gateways')
    for (const kind of ['HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute']) {
      conflictOnce(`${kind.toLowerCase()}s`)
      const more = kind === 'TLSRoute' ? { hostnames: ['cart.example'] } : {}
      server.put({ apiVersion: gatewayApi, kind, metadata: { namespace: 'shop', name: 'cart' }, spec: { parentRefs, ...more, rules: [{ backendRefs: [{ name: 'nothing', port: 80 }] }] } })
      await eventually(`a status of ${kind}`, () => conditionOf(server.get({ kind, namespace: 'shop', name: 'cart' }), 'Accepted'))
    }
    await eventually('an Event', () => server.list('Event', 'shop', 'events.k8s.io')[0])
    await eventually('Programmed', () => conditionOf(server.get({ kind: 'Gateway', namespace: 'shop', name: 'waypoint' }), 'Programmed') === 'True')
    await eventually('the class', () => conditionOf(server.get({ kind: 'GatewayClass', name: 'waypoint' }), 'Accepted') === 'True')

    // What others delete or change comes back.
    for (const kind of made) {
      server.delete({ kind, namespace: 'shop', name: 'waypoint' })
      await eventually(`${kind} again`, has(kind, 'shop', 'waypoint'))
    }
    await server.client().patch({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'waypoint' }, { spec: { template: { spec: { serviceAccountName: 'other' } } } })
    await eventually('the Deployment as it was', () => JSON.stringify(server.get({ kind: 'Deployment', namespace: 'shop', name: 'waypoint' })?.['spec']).includes('"serviceAccountName":"waypoint"'))

    // An autoscaler that is turned off goes.
    await server.client().patch({ apiVersion: gatewayApi, kind: 'Gateway', namespace: 'shop', name: 'waypoint' }, { spec: { infrastructure: null } })
    await eventually('no autoscaler', () => server.get({ kind: 'HorizontalPodAutoscaler', namespace: 'shop', name: 'waypoint' }) === undefined)

    // The CA: a Secret that is lost comes back, and a rotation goes through.
    server.delete({ kind: 'Secret', namespace, name: install.caSecret })
    await eventually('the Secret again', has('Secret', namespace, install.caSecret))
    const annotations = { [caNames.rotateTo]: '1', [caNames.rotateForce]: '1' }
    await server.client().patch({ apiVersion: 'v1', kind: 'Secret', namespace, name: install.caSecret }, { metadata: { annotations } })
    await eventually('the next generation', () => controller.ca.info().generation === 1)

    // And all of it goes when the Gateway is another's: nothing deletes it but the controller.
    server.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels: {} } })
    await server.client().patch({ apiVersion: gatewayApi, kind: 'Gateway', namespace: 'shop', name: 'waypoint' }, { spec: { gatewayClassName: 'other' } })
    for (const kind of ['ServiceAccount', 'Service', 'PodDisruptionBudget', 'Deployment']) await eventually(`no ${kind}`, () => server.get({ kind, namespace: 'shop', name: 'waypoint' }) === undefined)
    await eventually('no roots', () => server.get({ kind: 'ConfigMap', namespace: 'shop', name: install.bundleConfigMap }) === undefined)
    await eventually('a renewal of the Lease', () => asked.some(({ verb, resource }) => verb === 'update' && resource === 'leases'))
    assert.deepEqual([...refused], [])
  })

  it('hold no verb that it did not use just now, but one that admission asks for', () => {
    const used = (rule: PolicyRule, resource: string, verb: string): boolean => asked.some((request) =>
      // What is applied is made that way too.
      allows([{ ...rule, resources: [resource], verbs: [verb === 'create' && request.verb === 'patch' ? 'patch' : verb] }], request))
    // Kinds of the mesh's own have tests of their own.
    const isOwn = ({ apiGroups }: PolicyRule): boolean => apiGroups.some((group) => group.endsWith('.waymark.dev'))
    const idle = (['cluster', 'own'] as const).flatMap((scope) => policyRules(scope).filter((rule) => !isOwn(rule)).flatMap((rule) => rule.resources.flatMap((resource) =>
      rule.verbs.filter((verb) => !used(rule, resource, verb)).map((verb) => `${verb} ${resource}`))))
    assert.deepEqual(idle.sort(), ['update gateways/finalizers'])
  })
})
