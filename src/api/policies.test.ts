import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { parse, parseAllDocuments } from 'yaml'
import { gatewaySchemas, ownPlurals } from '../../crds/load.ts'
import { kinds, policyGroup } from './resources.ts'
import { validate } from './validate.ts'

const options = { gateway: gatewaySchemas('experimental'), standard: gatewaySchemas('standard') }
const authorization = (spec: object): object => ({ apiVersion: `${policyGroup}/v1alpha1`, kind: 'AuthorizationPolicy', metadata: { name: 'p', namespace: 'n' }, spec })
const mtls = (spec: object): object => ({ apiVersion: `${policyGroup}/v1alpha1`, kind: 'MTLSPolicy', metadata: { name: 'p', namespace: 'n' }, spec })
const service = { group: '', kind: 'Service', name: 's' }
const rule = (operation: object): object => authorization({ rules: [{ to: [operation] }] })
const source = (fields: object): object => authorization({ rules: [{ from: [fields] }] })

const good: Readonly<Record<string, object>> = {
  'a policy that allows nothing': authorization({}),
  'one for a whole namespace': authorization({ action: 'Deny', rules: [{}] }),
  'one with targets': authorization({ targetRefs: [service, ...['Gateway', 'HTTPRoute', 'GRPCRoute'].map((kind) => ({ group: 'gateway.networking.k8s.io', kind, name: 'x' }))] }),
  'one with a selector': authorization({ selector: { matchLabels: { app: 'x' }, matchExpressions: [{ key: 'a', operator: 'In', values: ['b'] }] } }),
  'every source': source({
    namespaces: ['a'], notNamespaces: ['b'], serviceAccounts: ['a/b', 'b'], notServiceAccounts: ['c'], spiffeIds: ['*', 'spiffe://cluster.local/ns/*/sa/x-*'],
    notSpiffeIds: ['spiffe://*/ns/a/sa/b'], cidrs: ['10.0.0.0/8', 'fd00::/8', '::1'], notCidrs: ['192.168.1.1'],
  }),
  'every operation': rule({
    ports: [80], notPorts: [81], methods: ['GET', 'M-SEARCH'], notMethods: ['PUT'], paths: [{ value: '/a' }, { type: 'RegularExpression', value: '.*' }], notPaths: [{ type: 'Exact', value: '/' }],
    hosts: ['*', '*.example.org', 'Reviews.books', '[fd00::1]'], notHosts: ['x'], headers: [{ name: 'X-Role', value: 'a' }], notHeaders: [{ name: 'x', value: '.*', type: 'RegularExpression' }],
    grpc: [{ service: 'a.b.C', method: 'D' }, { method: 'D' }], notGrpc: [{ service: 'C' }],
  }),
  'a strict namespace': mtls({ mode: 'Strict' }),
  'strict pods': mtls({ mode: 'Permissive', selector: { matchLabels: { app: 'x' } } }),
}

const bad: Readonly<Record<string, readonly [object, RegExp]>> = {
  'targets and a selector': [authorization({ targetRefs: [service], selector: { matchLabels: { a: 'b' } } }), /exclude each other/],
  'a selector that selects nothing in particular': [authorization({ selector: {} }), /selector/],
  'no targets': [authorization({ targetRefs: [] }), /targetRefs/],
  'a target of another kind': [authorization({ targetRefs: [{ group: 'apps', kind: 'Deployment', name: 'x' }] }), /a target is a Service/],
  'a Service in the wrong group': [authorization({ targetRefs: [{ ...service, group: 'gateway.networking.k8s.io' }] }), /a target is a Service/],
  'a Deny without rules': [authorization({ action: 'Deny' }), /needs rules/],
  'an Audit with an empty list of rules': [authorization({ action: 'Audit', rules: [] }), /needs rules/],
  'an action in lower case': [authorization({ action: 'deny', rules: [{}] }), /action/],
  'a source that says nothing': [source({}), /from\[0\]/],
  'an operation that says nothing': [rule({}), /to\[0\]/],
  'an empty list of sources': [authorization({ rules: [{ from: [] }] }), /from/],
  'an empty list of namespaces': [source({ namespaces: [] }), /namespaces/],
  'a namespace with a star': [source({ namespaces: ['a*'] }), /namespaces/],
  'an id that is none': [source({ spiffeIds: ['cluster.local/ns/a/sa/b'] }), /spiffeIds/],
  'a range that is none': [source({ cidrs: ['localhost'] }), /cidrs/],
  'a field that is misspelt': [source({ namespace: ['a'] }), /namespace/],
  'a port that is none': [rule({ ports: [0] }), /ports/],
  'a path without its slash': [rule({ paths: [{ value: 'a' }] }), /begins with \//],
  'a path of an unknown type': [rule({ paths: [{ type: 'Prefix', value: '/a' }] }), /type/],
  'a host with a port': [rule({ hosts: ['a:80'] }), /hosts/],
  'a method that is no token': [rule({ methods: ['GE T'] }), /methods/],
  'a call of nothing': [rule({ grpc: [{}] }), /grpc/],
  'an unknown mode': [mtls({ mode: 'Disabled' }), /mode/],
  'no mode': [mtls({}), /mode/],
}

describe('our own kinds', () => {
  for (const [name, manifest] of Object.entries(good)) {
    it(`takes ${name}`, () => assert.deepEqual({ ...validate(manifest, options), object: undefined }, { kind: 'valid', object: undefined, problems: [] }))
  }

  for (const [name, [manifest, message]] of Object.entries(bad)) {
    it(`refuses ${name}`, () => {
      const { kind, problems } = validate(manifest, options)
      assert.equal(kind, 'invalid')
      assert.match(problems.map((each) => `${each.path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('')} ${each.message}`).join('\n'), message)
    })
  }

  it('have definitions that say of them what the table of kinds says', () => {
    for (const plural of ownPlurals) {
      const { metadata, spec } = parse(readFileSync(`crds/waymark/${plural}.yaml`, 'utf8')) as {
        metadata: { name: string }
        spec: { group: string; scope: string; names: { kind: 'AuthorizationPolicy' | 'MTLSPolicy'; plural: string }; versions: readonly { name: string }[] }
      }
      assert.equal(metadata.name, `${plural}.${policyGroup}`)
      const { group, versions, namespaced, plural: known } = kinds[spec.names.kind]
      assert.deepEqual([spec.group, spec.scope, spec.names.plural, spec.versions.map(({ name }) => name)], [group, namespaced ? 'Namespaced' : 'Cluster', known, versions])
    }
  })

  it('are written rightly in the example and in the documentation', () => {
    const page = readFileSync('docs/authorization.md', 'utf8')
    const blocks = [...page.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map((found) => found[1] ?? '')
    const documents = [readFileSync('examples/kubernetes/authorization.yaml', 'utf8'), ...blocks].flatMap((text) => parseAllDocuments(text).map((each) => each.toJS() as unknown))
    assert.equal(documents.length, 5)
    for (const document of documents) assert.deepEqual(validate(document, options).problems, [])
  })

  it('get the defaults that the API server fills in', () => {
    const filled = validate(rule({ paths: [{ value: '/a' }] }), options)
    assert.deepEqual(filled.kind === 'valid' && 'spec' in filled.object && filled.object.spec, { action: 'Allow', rules: [{ to: [{ paths: [{ type: 'PathPrefix', value: '/a' }] }] }] })
  })
})
