import { install } from './install.ts'

/** One thing that a process may do at the API server, and why. */
export interface Permission {
  /** Which process needs it; waypoint and connect pods need none and get no token for the API server. */
  readonly process: 'controller'
  /** `cluster`: in every namespace, and for what has none; `own`: only in the installation's namespace. */
  readonly scope: 'cluster' | 'own'
  /** '' for the core group. */
  readonly group: string
  readonly resources: readonly string[]
  readonly verbs: readonly Verb[]
  /** Only objects of these names; undefined: of any name. */
  readonly names?: readonly string[]
  /** Only if the installation brings a CA of its own, whose Secret's name is then the only one of `names`; or only with an agent on the nodes. */
  readonly onlyWith?: 'own-ca' | 'agent'
  readonly reason: string
}

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete'

const gatewayApi = 'gateway.networking.k8s.io'
const ownApi = 'policy.waymark.dev'
const routes = ['httproutes', 'grpcroutes', 'tlsroutes', 'tcproutes'] as const
const ownKinds = ['authorizationpolicies', 'mtlspolicies'] as const

/**
 * Everything that the mesh asks of the API server: the chart's roles, the page docs/rbac.md and what `waymark check` tries are made
 * from this. There are no wildcards, and Secrets are read in the installation's namespace alone.
 */
export const permissions: readonly Permission[] = [
  {
    process: 'controller', scope: 'cluster', group: gatewayApi, resources: ['gatewayclasses', 'gateways', ...routes], verbs: ['get', 'list', 'watch'],
    reason: 'what the mesh is configured with; `get` is for reading an object again after its status could not be written',
  },
  { process: 'controller', scope: 'cluster', group: gatewayApi, resources: ['referencegrants'], verbs: ['list', 'watch'], reason: 'which references between namespaces are allowed' },
  { process: 'controller', scope: 'cluster', group: ownApi, resources: ownKinds, verbs: ['get', 'list', 'watch'], reason: 'who may do what, and where only mTLS is taken' },
  { process: 'controller', scope: 'cluster', group: ownApi, resources: ownKinds.map((each) => `${each}/status`), verbs: ['update'], reason: 'to say in each policy whether it is enforced' },
  {
    process: 'controller', scope: 'cluster', group: '', resources: ['namespaces', 'services', 'pods'], verbs: ['list', 'watch'],
    reason: 'enrolment, destinations, and which pods are behind them',
  },
  { process: 'controller', scope: 'cluster', group: 'discovery.k8s.io', resources: ['endpointslices'], verbs: ['list', 'watch'], reason: 'where requests can go' },
  { process: 'controller', scope: 'cluster', group: '', resources: ['configmaps'], verbs: ['list', 'watch'], reason: 'parameters of waypoints, and whether trust bundles are as they should be; only labelled ones are asked for' },
  {
    process: 'controller', scope: 'cluster', group: gatewayApi, resources: ['gatewayclasses/status', 'gateways/status', ...routes.map((each) => `${each}/status`)], verbs: ['update'],
    reason: 'to say in each object what became of it',
  },
  { process: 'controller', scope: 'cluster', group: 'events.k8s.io', resources: ['events'], verbs: ['create'], reason: 'to tell changes of that as Events' },
  { process: 'controller', scope: 'cluster', group: gatewayApi, resources: ['gateways'], verbs: ['create'], reason: 'namespaces labelled `waymark.dev/waypoint: auto` get their Gateway' },
  { process: 'controller', scope: 'cluster', group: gatewayApi, resources: ['gateways/finalizers'], verbs: ['update'], reason: 'to be named as the owner of a waypoint\'s objects, where the cluster checks that (OwnerReferencesPermissionEnforcement)' },
  { process: 'controller', scope: 'cluster', group: '', resources: ['serviceaccounts', 'services'], verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'], reason: 'a waypoint\'s identity and address' },
  { process: 'controller', scope: 'cluster', group: 'apps', resources: ['deployments'], verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'], reason: 'a waypoint\'s pods' },
  { process: 'controller', scope: 'cluster', group: 'policy', resources: ['poddisruptionbudgets'], verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'], reason: 'that a waypoint outlives the draining of nodes' },
  { process: 'controller', scope: 'cluster', group: 'autoscaling', resources: ['horizontalpodautoscalers'], verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'], reason: 'the number of a waypoint\'s pods' },
  {
    process: 'controller', scope: 'cluster', group: '', resources: ['configmaps'], verbs: ['get', 'create', 'patch', 'delete'], names: [install.bundleConfigMap],
    reason: 'the mesh\'s roots in each of its namespaces; server-side apply names what it creates, so that right can be restricted too',
  },
  {
    process: 'controller', scope: 'cluster', group: 'apiextensions.k8s.io', resources: ['customresourcedefinitions'], verbs: ['get'],
    names: [...['gatewayclasses', 'gateways', ...routes, 'referencegrants'].map((each) => `${each}.${gatewayApi}`), ...ownKinds.map((each) => `${each}.${ownApi}`)],
    reason: 'to say whether their release and channel have what the mesh reads',
  },
  { process: 'controller', scope: 'cluster', group: 'authentication.k8s.io', resources: ['tokenreviews'], verbs: ['create'], reason: 'to learn whose token asks for a certificate' },
  {
    process: 'controller', scope: 'cluster', group: '', resources: ['pods'], verbs: ['patch'], onlyWith: 'agent',
    reason: 'to say at each pod whether its node\'s agent captures it: agents have no access to the API server',
  },
  { process: 'controller', scope: 'own', group: 'coordination.k8s.io', resources: ['leases'], verbs: ['create'], reason: 'leader election; the name of what is created can not be restricted' },
  { process: 'controller', scope: 'own', group: 'coordination.k8s.io', resources: ['leases'], verbs: ['get', 'update'], names: [install.controller], reason: 'leader election' },
  { process: 'controller', scope: 'own', group: '', resources: ['secrets'], verbs: ['create'], reason: 'the CA\'s root, once; the name of what is created can not be restricted' },
  { process: 'controller', scope: 'own', group: '', resources: ['secrets'], verbs: ['get', 'list', 'watch', 'update'], names: [install.caSecret], reason: 'the CA\'s root, and its rotation' },
  {
    process: 'controller', scope: 'own', group: '', resources: ['secrets'], verbs: ['get', 'list', 'watch'], names: ['(ca.existingSecret)'], onlyWith: 'own-ca',
    reason: 'a root or intermediate that you bring',
  },
]

/** A rule as a Role has it. Source: rbac.authorization.k8s.io/v1 PolicyRule. */
export interface PolicyRule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly resourceNames?: readonly string[]
  readonly verbs: readonly string[]
}

/** The rules of the controller's ClusterRole (`cluster`) or Role (`own`). @param ownCaSecret name of the Secret with a CA of the user's own @param agent whether nodes have an agent */
export function policyRules(scope: Permission['scope'], ownCaSecret?: string, agent = false): readonly PolicyRule[] {
  const holds = { 'own-ca': ownCaSecret !== undefined, agent }
  return permissions
    .filter((each) => each.scope === scope && (each.onlyWith === undefined || holds[each.onlyWith]))
    .map(({ group, resources, verbs, names, onlyWith }) => {
      const resourceNames = onlyWith === 'own-ca' && ownCaSecret !== undefined ? [ownCaSecret] : names
      return { apiGroups: [group], resources, ...(resourceNames === undefined ? {} : { resourceNames }), verbs }
    })
}
