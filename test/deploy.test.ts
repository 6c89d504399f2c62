import assert from 'node:assert/strict'
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { parse, parseAllDocuments } from 'yaml'
import type { KubeObject } from '../src/kube/object.ts'
import { pathInfo } from '../src/kube/paths.ts'
import { install, ports } from '../src/model/install.ts'
import { permissions, policyRules } from '../src/model/rbac.ts'
import { controllerName } from '../src/model/status.ts'
import { rbacFiles } from '../scripts/chart.ts'

const chart = 'deploy/helm/waymark'
const base = 'deploy/kustomize/base'
const read = (path: string): string => readFileSync(path, 'utf8')
const objectsOf = (path: string): KubeObject[] => parseAllDocuments(read(path)).map((document) => document.toJS() as KubeObject)
const rendered = globSync([`${base}/[!k]*.yaml`, 'deploy/testdata/*.golden.yaml']).sort()
const everything = 'deploy/testdata/everything.golden.yaml'
const { version } = JSON.parse(read('package.json')) as { version: string }

/** Paths of all leaves of the chart's values; an empty list or map is one. */
function leaves(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || Object.keys(value).length === 0) return [path]
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, path === '' ? key : `${path}.${key}`))
}

interface PodSpec {
  readonly securityContext: object
  readonly containers: readonly { readonly image: string; readonly args: readonly string[]; readonly securityContext: object; readonly ports: readonly { containerPort: number }[] }[]
}
const podSpecs = (path: string): PodSpec[] =>
  objectsOf(path).filter(({ kind }) => kind === 'Deployment').map((each) => (each['spec'] as { template: { spec: PodSpec } }).template.spec)

describe('the chart and what is made from it', () => {
  it('is generated from what the code says now (npm run chart)', () => {
    for (const { path, content } of rbacFiles()) assert.equal(read(path), content, path)
  })

  it('gives exactly the rights of the table, in every rendering', () => {
    const files = rendered.filter((path) => objectsOf(path).some(({ kind }) => kind === 'ClusterRole'))
    assert.equal(files.length, 1 + globSync('deploy/testdata/*.values.yaml').length)
    for (const path of files) {
      const rulesOf = (kind: string): unknown[] => objectsOf(path).filter((each) => each.kind === kind).flatMap((each) => each['rules'])
      assert.deepEqual(rulesOf('ClusterRole'), policyRules('cluster', undefined, path === everything), path)
      assert.deepEqual(rulesOf('Role'), policyRules('own', path === everything ? 'mesh-intermediate' : undefined), path)
    }
  })

  it('asks for no wildcard, for no Secret outside its namespace, and for nothing twice', () => {
    const asked = permissions.flatMap(({ scope, group, resources, verbs, names }) => resources.flatMap((resource) => verbs.map((verb) => ({ scope, group, resource, verb, names }))))
    for (const { scope, group, resource, verb } of asked) {
      assert.ok(![group, resource, verb].some((each) => each.includes('*')), resource)
      assert.ok(!(scope === 'cluster' && resource === 'secrets'))
    }
    const unnamed = asked.filter(({ names }) => names === undefined).map(({ scope, group, resource, verb }) => `${scope} ${verb} ${resource}.${group}`)
    assert.deepEqual(unnamed.filter((each, at) => unnamed.indexOf(each) !== at).filter((each) => !/(?:get|list|watch) services\.$/.test(each)), [])
    for (const { names, scope, verbs } of permissions) if (scope === 'own' && verbs.some((verb) => verb !== 'create')) assert.ok(names !== undefined)
  })

  it('names groups and resources as the API does', () => {
    const plurals = new Map(
      ['GatewayClass', 'Gateway', 'HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute', 'ReferenceGrant', 'AuthorizationPolicy', 'MTLSPolicy', 'Namespace', 'Service', 'EndpointSlice', 'Pod', 'ServiceAccount', 'Secret', 'ConfigMap',
        'Deployment', 'PodDisruptionBudget', 'HorizontalPodAutoscaler', 'Lease', 'Event', 'TokenReview', 'CustomResourceDefinition'].map((kind) => [pathInfo(kind)?.plural ?? kind, pathInfo(kind)?.group]),
    )
    for (const { group, resources } of permissions) for (const resource of resources) assert.equal(plurals.get(resource.replace(/\/.*$/, '')), group, resource)
  })

  it('carries the package\'s version', () => {
    const { version: own, appVersion } = parse(read(`${chart}/Chart.yaml`)) as { version: string; appVersion: string }
    assert.deepEqual([own, appVersion], [version, version])
    assert.deepEqual(podSpecs(`${base}/controller.yaml`).map(({ containers }) => containers[0]?.image), [`waymark:${version}`])
  })

  it('uses the names and ports that the parts of the mesh agree on', () => {
    const objects = readdirSync(base).filter((name) => !name.startsWith('k')).flatMap((name) => objectsOf(`${base}/${name}`))
    const names = new Set(objects.filter(({ kind }) => !['Namespace', 'GatewayClass'].includes(kind)).map(({ metadata }) => metadata.name))
    assert.deepEqual(names, new Set([install.controller, `${install.controller}-metrics`]))
    assert.deepEqual(new Set(objects.flatMap(({ metadata }) => metadata.namespace ?? [])), new Set([install.namespace]))
    const gatewayClass = objects.find(({ kind }) => kind === 'GatewayClass')
    assert.deepEqual([gatewayClass?.metadata.name, (gatewayClass?.['spec'] as { controllerName: string }).controllerName], ['waypoint', controllerName])
    const [pod] = podSpecs(`${base}/controller.yaml`)
    assert.deepEqual(pod?.containers[0]?.ports.map(({ containerPort }) => containerPort), [ports.control, ports.metrics, ports.ready])
    const service = objects.find(({ kind, metadata }) => kind === 'Service' && metadata.name === install.controller)?.['spec'] as { clusterIP: string; ports: { port: number }[] }
    assert.deepEqual([service.clusterIP, service.ports.map(({ port }) => port)], ['None', [ports.control]])
  })

  it('keeps to the restricted Pod Security Standard and a read-only root', () => {
    for (const path of rendered) {
      for (const { securityContext, containers } of podSpecs(path)) {
        assert.deepEqual(securityContext, { runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, seccompProfile: { type: 'RuntimeDefault' } })
        for (const each of containers) assert.deepEqual(each.securityContext, { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } })
      }
    }
  })

  it('passes every value on', () => {
    const text = read(everything)
    const given = leaves(parse(read('deploy/testdata/everything.values.yaml')))
    const values = leaves(parse(read(`${chart}/values.yaml`)))
    for (const path of values.filter((each) => each !== 'image.tag')) assert.ok(given.some((each) => each === path || each.startsWith(`${path}.`)), `${path} is not in everything.values.yaml`)
    const parts = [
      'images.example/mesh/waymark@sha256:0123456789abcdef', 'imagePullPolicy: Always', '--image-pull-secret=second', '--trust-domain=mesh.example', '--svid-lifetime=1800',
      '--own-ca-secret=mesh-intermediate', 'replicas: 3', 'cpu: 250m', 'kubernetes.io/os: linux', 'node-role.kubernetes.io/control-plane', 'key: pool', 'priorityClassName: system-cluster-critical',
      'team: platform', 'example.com/note', '--image=images.example/mesh/waymark:other', '--access-log=none', '--otlp-endpoint=http://collector.telemetry:4318', 'interval: 15s', 'release: prometheus',
    ]
    for (const part of parts) assert.ok(text.includes(part), part)
    assert.ok(!text.includes('kind: GatewayClass'))
  })

  it('explains every value, and its schema knows every value', () => {
    const readme = read(`${chart}/README.md`)
    const schema = JSON.parse(read(`${chart}/values.schema.json`)) as { properties: Record<string, { properties?: Record<string, unknown> }> }
    const paths = [...new Set(leaves(parse(read(`${chart}/values.yaml`))).map((path) => path.split('.').slice(0, 2).join('.')))]
    for (const path of paths) {
      assert.ok(readme.includes(`| \`${path}\` |`), `${path} is not in the README`)
      const [first = '', second] = path.split('.')
      assert.ok(second === undefined ? first in schema.properties : second in (schema.properties[first]?.properties ?? {}), `${path} is not in the schema`)
    }
    for (const [, path = ''] of readme.matchAll(/^\| `([a-zA-Z.]+)` \|/gm)) assert.ok(paths.includes(path), `${path} is in the README and no value`)
  })

  it('lets no value stand that would break what it is written into', () => {
    const { properties } = JSON.parse(read(`${chart}/values.schema.json`)) as {
      properties: Record<'ca' | 'controller' | 'image' | 'waypoint', { properties: Record<string, { pattern?: string, not?: { const?: string }, propertyNames?: { not?: { pattern?: string } } }> }>
    }
    // The controller's own Secret can not be the one that is brought.
    assert.equal(properties.ca.properties['existingSecret']?.not?.const, 'waymark-ca')
    // A second value for a label of the selector leaves the Deployment without its pods.
    const taken = properties.controller.properties['podLabels']?.propertyNames?.not?.pattern ?? ''
    for (const label of ['name', 'component', 'instance']) assert.ok(taken.includes(label), label)
    assert.equal(properties.image.properties['repository']?.pattern, '^[A-Za-z0-9][A-Za-z0-9._:/-]*$')
    assert.equal(properties.waypoint.properties['image']?.pattern, '^\\S*$')
  })

  it('names every file of the Kustomize base', () => {
    const { resources } = parse(read(`${base}/kustomization.yaml`)) as { resources: string[] }
    assert.deepEqual([...resources, 'kustomization.yaml'].sort(), readdirSync(base).sort())
  })

  it('has what the Dockerfile and a builder need', () => {
    const dockerfile = read('Dockerfile')
    assert.ok(!/^#\s*syntax=/m.test(dockerfile), 'a syntax line makes the builder ask a registry')
    assert.match(dockerfile, /^ARG BASE=node:24-bookworm-slim$/m)
    assert.match(dockerfile, /^USER 1000:1000$/m)
    assert.match(dockerfile, /^ENTRYPOINT \["node", /m)
    assert.equal(read('.dockerignore').trim(), '*', 'the context is the staged folder, never the checkout')
    assert.ok(existsSync('kind-config.yaml'))
  })
})
