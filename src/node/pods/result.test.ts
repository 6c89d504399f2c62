import assert from 'node:assert/strict'
import { isResultName, netnsName, parseResult } from './result.ts'

/** As containerd 1.6 with libcni 1.1 leaves it, dual stack. */
const whole = {
  kind: 'cniCacheV1',
  containerId: '1f0c',
  config: 'eyJjbmlWZXJzaW9uIjoiMC4zLjEifQ==',
  ifName: 'eth0',
  networkName: 'kindnet',
  cniArgs: [['IgnoreUnknown', '1'], ['K8S_POD_NAMESPACE', 'shop'], ['K8S_POD_NAME', 'cart-0'], ['K8S_POD_INFRA_CONTAINER_ID', '1f0c'], ['K8S_POD_UID', '11111111-2222-3333-4444-555555555555']],
  capabilityArgs: { dns: {}, 'io.kubernetes.cri.pod-annotations': { a: 'b' } },
  result: {
    cniVersion: '0.3.1',
    interfaces: [{ name: 'veth1', mac: 'aa:bb:cc:dd:ee:ff' }, { name: 'eth0', mac: 'aa:bb:cc:dd:ee:fe', sandbox: '/var/run/netns/cni-77' }],
    ips: [{ version: '4', interface: 1, address: '10.244.1.7/24', gateway: '10.244.1.1' }, { version: '6', interface: 1, address: 'fd00::7/64' }],
    routes: [{ dst: '0.0.0.0/0' }],
    dns: {},
  },
}
const pod = { id: '1f0c', uid: '11111111-2222-3333-4444-555555555555', namespace: 'shop', name: 'cart-0', netns: 'cni-77', addresses: ['10.244.1.7', 'fd00::7'] }
const without = (key: string): unknown => ({ ...whole, cniArgs: whole.cniArgs.filter(([name]) => name !== key) })

/** Contents of a file, and what is made of them. */
const cases: readonly { readonly name: string; readonly text: string; readonly result: unknown }[] = [
  { name: 'a pod', text: JSON.stringify(whole), result: { kind: 'pod', pod } },
  { name: 'libcni 1.2 names the namespace itself', text: JSON.stringify({ ...whole, netns: '/run/netns/cni-88' }), result: { kind: 'pod', pod: { ...pod, netns: 'cni-88' } } },
  { name: 'another plugin\'s link in the sandbox', text: JSON.stringify({ ...whole, result: { ...whole.result, interfaces: [{ name: 'wg0', sandbox: '/run/netns/other' }, ...whole.result.interfaces] } }), result: { kind: 'pod', pod } },
  { name: 'the only link has another name', text: JSON.stringify({ ...whole, result: { ...whole.result, interfaces: [{ name: 'ens1', sandbox: '/run/netns/cni-9' }] } }), result: { kind: 'pod', pod: { ...pod, netns: 'cni-9' } } },
  { name: 'no addresses', text: JSON.stringify({ ...whole, result: { interfaces: whole.result.interfaces } }), result: { kind: 'pod', pod: { ...pod, addresses: [] } } },
  { name: 'addresses that are none', text: JSON.stringify({ ...whole, result: { ...whole.result, ips: [{ address: 'x/1' }, { address: 7 }, null, {}] } }), result: { kind: 'pod', pod: { ...pod, addresses: [] } } },
  { name: 'nothing written yet', text: '', result: { kind: 'partial' } },
  { name: 'half written', text: JSON.stringify(whole).slice(0, 300), result: { kind: 'partial' } },
  { name: 'no UID', text: JSON.stringify(without('K8S_POD_UID')), result: { kind: 'other', why: 'the runtime does not tell the pod\'s UID: containerd does since 1.5' } },
  { name: 'not of Kubernetes', text: JSON.stringify(without('K8S_POD_NAME')), result: { kind: 'other', why: 'it is of no pod' } },
  { name: 'arguments of another shape', text: JSON.stringify({ ...whole, cniArgs: 'K8S_POD_NAME=x' }), result: { kind: 'other', why: 'it is of no pod' } },
  { name: 'loopback', text: JSON.stringify({ ...whole, ifName: 'lo' }), result: { kind: 'other', why: 'it is of another link' } },
  { name: 'another kind', text: JSON.stringify({ ...whole, kind: 'cniCacheV2' }), result: { kind: 'other', why: 'it is of another kind than cniCacheV1' } },
  { name: 'no namespace', text: JSON.stringify({ ...whole, result: {} }), result: { kind: 'other', why: 'it names no network namespace: the pod may run in a virtual machine' } },
  { name: 'a namespace elsewhere', text: JSON.stringify({ ...whole, netns: '/proc/7/ns/net' }), result: { kind: 'other', why: 'it names no network namespace: the pod may run in a virtual machine' } },
  { name: 'no object', text: '[]', result: { kind: 'other', why: 'it is no object' } },
  { name: 'null', text: 'null', result: { kind: 'other', why: 'it is no object' } },
]

describe('a result of CNI', () => {
  for (const { name, text, result } of cases) it(name, () => assert.deepEqual(parseResult(text), result))

  it('is of a pod\'s main link by its name', () => {
    assert.deepEqual(['kindnet-1f0c-eth0', 'cni-loopback-1f0c-lo', 'multus-1f0c-net1'].map(isResultName), [true, false, false])
  })

  it('never leads out of the folder of namespaces', () => {
    assert.deepEqual(['/run/netns/a', '/var/run/netns/a', '/run/netns/../a', '/run/netns/a/b', 'a', ''].map(netnsName), ['a', 'a', undefined, undefined, undefined, undefined])
  })
})
