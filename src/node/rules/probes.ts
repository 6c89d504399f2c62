import { isIPv4 } from 'node:net'
import { probeSource, tableName } from './pod.ts'
import { address, addressIn, byRoot, isLocal, isTcp, snatTo, verdict } from './statements.ts'
import type { Table } from './table.ts'

/**
 * The rules of the node's own namespace: connections that the node itself opens to captured pods as user 0, above all the kubelet's probes, show an address
 * that the pods' rules let through. So probes pass in strict mode, and with the agent dead, which otherwise would have every captured pod restarted. Who
 * is on the node's network as another user is no kubelet, and passes by nothing.
 * It must never be put in force with fewer addresses than there are captured pods: fill it from what runs first.
 * @param addresses of the captured pods of this node, both families; in any order, twice does no harm
 */
export function probeTable(addresses: readonly string[]): Table {
  const all = [...new Set(addresses)].sort()
  return {
    name: tableName,
    sets: [
      { name: 'captured4', family: 4, addresses: all.filter((each) => isIPv4(each)) },
      { name: 'captured6', family: 6, addresses: all.filter((each) => !isIPv4(each)) },
    ],
    chains: [
      {
        name: 'probes',
        type: 'nat',
        hook: 'postrouting',
        // Before kube-proxy and CNIs masquerade, at 100.
        priority: 90,
        rules: ([4, 6] as const).map((family) => [addressIn('daddr', family, `captured${family}`), isLocal('saddr'), isTcp, byRoot, snatTo(probeSource[family])]),
      },
      {
        // Nobody else may show that address: what arrives from a link with it is forged.
        name: 'forged',
        type: 'filter',
        hook: 'prerouting',
        priority: -300,
        rules: ([4, 6] as const).map((family) => [address('saddr', probeSource[family]), verdict('drop')]),
      },
    ],
  }
}
