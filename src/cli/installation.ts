import { globSync, readFileSync } from 'node:fs'
import { parseAllDocuments } from 'yaml'
import type { Channel } from '../api/schema.ts'
import type { KubeObject } from '../kube/object.ts'
import type { AccessLogLevel } from '../model/infra.ts'
import { install } from '../model/install.ts'
import { policyRules } from '../model/rbac.ts'

/** What an installation may have of its own; the chart's values are the same. */
export interface InstallationSettings {
  readonly namespace: string
  /** Undefined: the one of this version, `waymark:VERSION`. */
  readonly image?: string | undefined
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never'
  /** Names of Secrets. */
  readonly imagePullSecret: readonly string[]
  /** Controllers. */
  readonly replicas: number
  readonly trustDomain: string
  /** Seconds that a workload's certificate is valid. */
  readonly svidLifetime: number
  /** A Secret of type kubernetes.io/tls with a root or intermediate of the user's own. */
  readonly ownCaSecret?: string | undefined
  /** What waypoints do unless their parameters say otherwise. */
  readonly accessLog: AccessLogLevel
  readonly otlpEndpoint?: string | undefined
}

const repository = new URL('../../', import.meta.url)

/**
 * Every object of an installation but CRDs, in the order in which they are made: namespace, rights, services, class, controller. They
 * come from the Kustomize base that the chart is rendered to, so that there is one truth.
 * @throws if this copy of the command lacks the base
 */
export function installationObjects(settings: InstallationSettings): readonly KubeObject[] {
  const change = changes(settings)
  return readObjects('deploy/kustomize/base/[!k]*.yaml').map((object) => change(inNamespace(object, settings.namespace))).sort((a, b) => rank(a) - rank(b))
}

/** The CustomResourceDefinitions of Gateway API that the mesh reads. @throws if this copy of the command lacks them */
export function gatewayApiDefinitions(channel: Channel): readonly KubeObject[] {
  return readObjects(`crds/gateway-api/${channel}/*.yaml`)
}

/** The CustomResourceDefinitions of the mesh's own kinds. @throws if this copy of the command lacks them */
export function ownDefinitions(): readonly KubeObject[] {
  return readObjects('crds/waymark/*.yaml')
}

/** Field manager of what the command applies; the controller's own is another. */
export const cliFieldManager = 'waymark-cli'

/** Selects the controller's pods. */
export const controllerSelector = 'app.kubernetes.io/name=waymark,app.kubernetes.io/component=controller'

const order = ['Namespace', 'ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding', 'Service', 'PodDisruptionBudget', 'GatewayClass', 'Deployment']

function rank({ kind }: KubeObject): number {
  const at = order.indexOf(kind)
  return at === -1 ? order.length : at
}

function readObjects(pattern: string): readonly KubeObject[] {
  const files = globSync(pattern, { cwd: repository }).sort()
  if (files.length === 0) throw new Error(`this copy of waymark lacks ${pattern}; use the image or a whole checkout`)
  return files
    .flatMap((file) => parseAllDocuments(readFileSync(new URL(file, repository), 'utf8')))
    .map((document) => document.toJS() as KubeObject)
}

function inNamespace(object: KubeObject, namespace: string): KubeObject {
  const { kind, metadata } = object
  if (kind === 'Namespace') return { ...object, metadata: { ...metadata, name: namespace } }
  const placed = metadata.namespace === undefined ? object : { ...object, metadata: { ...metadata, namespace } }
  const { subjects } = object as { readonly subjects?: readonly object[] }
  return subjects === undefined ? placed : { ...placed, subjects: subjects.map((subject) => ({ ...subject, namespace })) }
}

/** What the settings change in each object. */
function changes(settings: InstallationSettings): (object: KubeObject) => KubeObject {
  const imagePullSecrets = settings.imagePullSecret.map((name) => ({ name }))
  return (object) => {
    if (object.kind === 'ServiceAccount' && imagePullSecrets.length > 0) return { ...object, imagePullSecrets }
    if (object.kind === 'Role') return { ...object, rules: policyRules('own', settings.ownCaSecret) }
    return object.kind === 'Deployment' ? { ...object, spec: deploymentSpec(object['spec'] as DeploymentSpec, settings) } : object
  }
}

/** The part of a Deployment that is changed. Source: apps/v1. */
export interface DeploymentSpec {
  readonly replicas: number
  readonly template: { readonly spec: { readonly containers: readonly Container[] } }
}

interface Container {
  readonly image: string
  readonly args: readonly string[]
}

function deploymentSpec(spec: DeploymentSpec, settings: InstallationSettings): DeploymentSpec {
  const containers = spec.template.spec.containers.map((container) => {
    const image = settings.image ?? container.image
    return { ...container, image, imagePullPolicy: settings.imagePullPolicy, args: controllerArgs(container.args, image, settings) }
  })
  return { ...spec, replicas: settings.replicas, template: { ...spec.template, spec: { ...spec.template.spec, containers } } }
}

/** The arguments of the base with the settings in the place of those that they are about. */
function controllerArgs(args: readonly string[], image: string, settings: InstallationSettings): readonly string[] {
  const given = [
    `--trust-domain=${settings.trustDomain}`,
    `--svid-lifetime=${settings.svidLifetime}`,
    `--image=${image}`,
    `--image-pull-policy=${settings.imagePullPolicy}`,
    ...settings.imagePullSecret.map((name) => `--image-pull-secret=${name}`),
    ...(settings.ownCaSecret === undefined ? [] : [`--own-ca-secret=${settings.ownCaSecret}`]),
    `--access-log=${settings.accessLog}`,
    ...(settings.otlpEndpoint === undefined ? [] : [`--otlp-endpoint=${settings.otlpEndpoint}`]),
  ]
  const names = new Set(given.map((each) => each.slice(0, each.indexOf('='))))
  return [...args.filter((each) => !names.has(each.replace(/=.*$/s, ''))), ...given]
}

/** What an installation leaves behind that no manifest names: made by the controller while it ran. */
export const leftovers = {
  lease: (namespace: string) => ({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace, name: install.controller }),
  caSecret: (namespace: string) => ({ apiVersion: 'v1', kind: 'Secret', namespace, name: install.caSecret }),
  bundle: (namespace: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', namespace, name: install.bundleConfigMap }),
} as const
