import { KubeError } from '../../kube/errors.ts'
import type { AgentDump } from '../../node/dump.ts'
import { explain } from '../explain.ts'
import type { Io } from '../io.ts'
import { addAgents, agentMetrics, putMember, startMesh, startMs, type SimulatedMesh } from './mesh.ts'
import { namespace, access, check, pre, dump, agents, look, withAgents, show, bare, page, refused, labelled, ownDefinitions, type ClusterCase } from './case-verbs.ts'

/** A verb that is called wrongly says so by an error, as the command line tells it. */
async function runExplain(mesh: SimulatedMesh, io: Io, pod: string, url: string): Promise<number> {
  return explain([url], { from: { namespace: 'shop', pod }, header: [], output: 'table' }, io, access(mesh))
}

/** What two processes show; the others have nothing to show. */
function tapped({ says }: SimulatedMesh): void {
  const time = '2026-01-02T03:04:05.678Z'
  const id = (account: string): string => `spiffe://cluster.local/ns/${account.replace('/', '/sa/')}`
  const request = { kind: 'request', verdict: 'allowed', time, waypoint: 'shop/waypoint', protocol: 'http1', method: 'GET', path: '/items?a=1', status: 200, duration_ms: 3.456, bytes_in: 0, bytes_out: 1234, source: id('shop/till'), destination: 'shop/cart:80' }
  const connection = { kind: 'connection', event: 'ended', verdict: 'allowed', time, node: 'node-2', direction: 'outbound', transport: 'mtls', via: 'waypoint', source: 'shop/till-1', source_id: id('shop/till'), destination: 'shop/cart', destination_address: '10.96.1.2:80', service: 'shop/cart', ended: 'clean', duration_ms: 65_432, bytes_in: 2_000_000, bytes_out: 20_000_000 }
  const lines: Readonly<Record<string, readonly object[]>> = {
    'waypoint-1': [
      { ...request, route: 'HTTPRoute shop/cart', rule: 0, endpoint: '10.2.7.9:8080' },
      { ...request, verdict: 'denied', status: 403, reason: 'denied', policy: 'shop/readers', source: id('club/reader'), detail: 'nobody else \u001b[2J' },
      { ...request, verdict: 'refused', protocol: 'grpc', method: 'POST', path: '/shop.Cart/Add', status: 200, grpc_status: 12, reason: 'no-route' },
      { ...request, kind: 'connection', protocol: 'tcp', method: undefined, path: undefined, status: 0, audit: ['shop/watch'] },
    ],
    'waymark-agent-2': [
      { ...connection, event: 'opened', duration_ms: 0, bytes_in: 0, bytes_out: 0, ended: undefined }, connection,
      { ...connection, verdict: 'failed', reason: 'connect-failure', ended: undefined, duration_ms: 5_000, bytes_in: 0, bytes_out: 0 },
      { ...connection, direction: 'plaintext', transport: 'plain', via: undefined, source: undefined, source_id: undefined, source_address: '10.9.9.9:1', verdict: 'refused', reason: 'plaintext-refused', service: undefined, destination: 'shop/till-1', ended: undefined },
      { kind: 'dropped', count: 7 },
    ],
  }
  for (const name of ['waypoint-1', 'waypoint-2', 'waymark-agent-1', 'waymark-agent-2']) says.set(name, { '/tap': page((lines[name] ?? []).map((each) => `${JSON.stringify(each)}\n`).join('')) })
}

/** One agent that is cut off and could not capture its pod, and metrics of connections in plain from the other. */
async function troubleAgents(mesh: SimulatedMesh): Promise<void> {
  const dump = JSON.parse((await mesh.podPorts.get({ namespace, name: 'waymark-agent-2' }, 15000, '/dump')).text) as AgentDump
  const pods = dump.pods.map((pod) => ({ ...pod, mark: undefined, traffic: undefined, state: 'waiting', rules: false, problem: 'port 15008 is taken in the pod' }))
  const certificates = dump.certificates.map((each) => ({ ...each, notAfterMs: startMs + 60_000 }))
  const troubled = { ...dump, version: '0.0.1', controller: { connected: false, silenceMs: 600_000, source: 'kept' }, certificates, pluginProblem: 'there is no list of plugins', pods }
  mesh.says.set('waymark-agent-2', { '/dump': page(JSON.stringify(troubled)), '/metrics': page(agentMetrics({ version: '0.0.1', connected: 0, silence: 600 })) })
  mesh.edit('Pod', 'shop', 'till-1', { metadata: { annotations: { 'waymark.dev/captured': null } } })
  const plain = (outcome: string, source: string, value: number): string => {
    const [of, workload] = source.split('/')
    return `waymark_agent_connections_total{direction="plaintext",destination_namespace="shop",destination_workload="cart",service="",transport="plain",outcome="${outcome}",reason="",source_namespace="${of ?? ''}",source_workload="${workload ?? ''}"} ${value}`
  }
  mesh.says.set('waymark-agent-1', { '/metrics': page(agentMetrics({}, plain('allowed', 'club/reader', 12), plain('allowed', '', 1), plain('refused', 'club/reader', 3))) })
  await mesh.settle()
}

/** A pod that has left the mesh a moment ago. */
async function leavingPod(mesh: SimulatedMesh): Promise<void> {
  const dumped = async (): Promise<AgentDump> => JSON.parse((await mesh.podPorts.get({ namespace, name: 'waymark-agent-2' }, 15000, '/dump')).text) as AgentDump
  const pods = (await dumped()).pods.map((pod) => ({ ...pod, state: 'leaving' }))
  mesh.edit('Pod', 'shop', 'till-1', { metadata: { annotations: { 'waymark.dev/captured': null }, labels: { 'waymark.dev/mesh': 'disabled' } } })
  await mesh.settle()
  mesh.says.set('waymark-agent-2', { '/dump': page(JSON.stringify({ ...await dumped(), pods })) })
}

const cases: readonly ClusterCase[] = [
  { file: 'tap.txt', start: withAgents, run: look('shop'), arrange: tapped },
  { file: 'tap.jsonl', start: withAgents, run: look('svc/cart', { output: 'json', max: 2 }), arrange: tapped },
  { file: 'tap-pod.txt', start: withAgents, run: look('pod/till-1', { verdict: 'denied', only: 'connections' }), arrange: tapped },
  { file: 'tap-refused.txt', start: startMesh, run: look('shop'), arrange: ({ says }) => { for (const at of [1, 2]) says.set(`waypoint-${at}`, { '/tap': refused }) } },
  { file: 'tap-nowhere.txt', start: startMesh, run: look('nowhere') },
  { file: 'tap-no-pod.txt', start: startMesh, run: look('pod/other') },
  { file: 'tap-nobody.txt', start: bare, run: look('shop'), arrange: ({ server }) => server.put(labelled('shop', {})) },
  { file: 'status-agents.txt', start: withAgents, run: show() },
  { file: 'status-agents.json', start: withAgents, run: show('json') },
  { file: 'status-agents-troubled.txt', start: withAgents, run: show(), arrange: troubleAgents },
  { file: 'check-agents-fine.txt', start: withAgents, run: check() },
  { file: 'check-agents-troubled.txt', start: withAgents, run: check(), arrange: troubleAgents },
  {
    file: 'check-agents-not-ready.txt', start: withAgents, run: check(),
    arrange: async (mesh) => {
      mesh.edit('DaemonSet', namespace, 'waymark-agent', { status: { numberReady: 1 } })
      mesh.remove('Pod', namespace, 'waymark-agent-2')
      mesh.edit('Pod', 'shop', 'till-1', { metadata: { annotations: { 'waymark.dev/captured': null } } })
      await mesh.settle()
    },
  },
  {
    file: 'check-agents-none-wanted.txt', start: withAgents, run: check(),
    arrange: async (mesh) => {
      mesh.edit('DaemonSet', namespace, 'waymark-agent', { status: { desiredNumberScheduled: 0, numberReady: 0 } })
      for (const at of [1, 2]) mesh.remove('Pod', namespace, `waymark-agent-${at}`)
      await mesh.settle()
    },
  },
  { file: 'check-agents-leaving.txt', start: withAgents, run: check(), arrange: leavingPod },
  {
    file: 'check-agents-gone.txt', start: withAgents, run: check(),
    arrange: (mesh) => {
      mesh.remove('DaemonSet', namespace, 'waymark-agent')
      for (const at of [1, 2]) mesh.remove('Pod', namespace, `waymark-agent-${at}`)
    },
  },
  {
    file: 'check-agents-retire.txt', start: withAgents, run: check(),
    arrange: (mesh) => {
      mesh.edit('DaemonSet', namespace, 'waymark-agent', { spec: { template: { spec: { containers: [{ args: ['agent', '--retire'] }] } } } })
      for (const at of [1, 2]) mesh.says.set(`waymark-agent-${at}`, { '/metrics': new KubeError(0, '', 'nothing listens there'), '/dump': new KubeError(0, '', 'nothing listens there') })
      const { spec } = mesh.server.get({ kind: 'Deployment', namespace, name: 'waymark-controller' }) as unknown as { readonly spec: object }
      mesh.edit('Deployment', namespace, 'waymark-controller', { spec: JSON.parse(JSON.stringify(spec).replace(',"--node-agent"', '')) as object })
    },
  },
  {
    file: 'check-agents-unexpected.txt', start: startMesh, run: check(),
    arrange: (mesh) => {
      const { spec } = mesh.server.get({ kind: 'Deployment', namespace, name: 'waymark-controller' }) as unknown as { readonly spec: object }
      addAgents(mesh)
      mesh.edit('Deployment', namespace, 'waymark-controller', { spec })
    },
  },
  {
    file: 'pre-agents-left.txt', start: bare, run: pre,
    arrange: (mesh) => {
      mesh.server.put({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace, name: 'waymark-agent' } })
      putMember(mesh, 'till-1', 'node-1', '10.2.8.4')
    },
  },
  { file: 'dump-agent-same.txt', start: withAgents, run: dump('waymark-agent-1', { diff: true, namespace }) },
  { file: 'agent-dump.txt', start: withAgents, run: agents() },
  { file: 'agent-dump-node.json', start: withAgents, run: agents({ node: 'node-2', output: 'json' }) },
  { file: 'agent-dump-no-node.txt', start: withAgents, run: agents({ node: 'node-9' }) },
  { file: 'agent-dump-none.txt', start: startMesh, run: agents() },
  { file: 'agent-dump-troubled.txt', start: withAgents, run: agents({ node: 'node-2' }), arrange: troubleAgents },
  { file: 'agent-dump-refused.txt', start: withAgents, run: agents(), arrange: ({ says }) => { for (const at of [1, 2]) says.set(`waymark-agent-${at}`, { '/dump': refused, '/metrics': refused }) } },
  ...([
    ['explain-from-pod', 'till-1', 'http://cart/'], ['explain-from-pod-outside', 'till-1', 'http://example.org/'], ['explain-from-pod-to-pod', 'till-1', 'http://10.2.7.9:8080/'],
    ['explain-from-pod-disabled', 'alone-1', 'http://cart/'], ['explain-from-pod-gone', 'till-9', 'http://cart/'],
  ] as const).map(([file, pod, url]): ClusterCase => ({
    file: `${file}.txt`, start: withAgents, run: (mesh, io) => runExplain(mesh, io, pod, url),
  })),
  {
    file: 'explain-from-pod-strict.txt', start: withAgents, run: (mesh, io) => runExplain(mesh, io, 'alone-1', 'http://10.2.7.9:8080/'),
    arrange: ({ server }) => {
      for (const each of ownDefinitions()) server.put(each)
      server.put({ apiVersion: 'policy.waymark.dev/v1alpha1', kind: 'MTLSPolicy', metadata: { namespace: 'shop', name: 'strict', creationTimestamp: '2026-01-01T03:04:05Z' }, spec: { mode: 'Strict' } })
    },
  },
  {
    file: 'explain-from-pod-no-agents.txt', start: startMesh, run: (mesh, io) => runExplain(mesh, io, 'till-1', 'http://cart/'),
    arrange: (mesh) => putMember(mesh, 'till-1', 'node-1', '10.2.8.4'),
  },
  {
    file: 'explain-from-pod-refuse.txt', start: withAgents, run: (mesh, io) => runExplain(mesh, io, 'till-1', 'tcp://192.0.2.1:5432'),
    arrange: (mesh) => mesh.edit('DaemonSet', namespace, 'waymark-agent', { spec: { template: { spec: { containers: [{ args: ['agent', '--unknown-destinations=refuse'] }] } } } }),
  },
]

/** States of a cluster with agents on its nodes. */
export function agentCases(): readonly ClusterCase[] {
  return cases
}
