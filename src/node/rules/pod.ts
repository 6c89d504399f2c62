import { ports } from '../../model/install.ts'
import { address, connectionMarkIs, isLocal, markIs, notFrom, opensTcp, redirectTo, setConnectionMark, setMark, tcpTo, trackApart, verdict } from './statements.ts'
import type { Table } from './table.ts'

/** The ports of the agent's listeners in each pod. */
export const podPorts = { outbound: 15_001, plaintext: 15_006, mesh: ports.hbone } as const

/** Name of the tables, in pods' namespaces and in the node's. */
export const tableName = 'waymark'

/**
 * Where probes of the kubelet seem to come from, once the node's own rules have translated them (`probeTable`). Link-local, so that no network routes it;
 * the same as in other meshes, so that NetworkPolicies that were written for them hold.
 */
export const probeSource = { 4: '169.254.7.127', 6: 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff' } as const

/** Marks packets that answer sockets of the agent that show another's address: they are routed to the agent (`routing.ts`), not out of the pod. */
export const replyMark = 0x111

/**
 * The rules of a captured pod. They stay when the agent dies: without listeners, captured connections are refused, never passed.
 * @param mark what tells the agent's own packets from the application's: 32 bits that nothing in the pod can guess or read
 * @param options `redirects: false` captures no new connections; the chains stay, for without them connections that were captured would break
 */
export function podTable(mark: number, { redirects = true }: { readonly redirects?: boolean } = {}): Table {
  return {
    name: tableName,
    sets: [],
    chains: [
      {
        // To the application the agent shows the client's address, with a port that the kernel finds free here: a client that came in plain may use the same one
        // for another connection, which would be taken for this one.
        name: 'deliveries',
        type: 'filter',
        hook: 'output',
        priority: -300,
        rules: [[markIs(mark), isLocal('daddr'), trackApart(1)]],
      },
      {
        name: 'replies',
        type: 'route',
        hook: 'output',
        priority: -150,
        rules: [
          // The random mark itself must not stay on the connection: /proc/net/nf_conntrack shows it.
          [markIs(mark), setConnectionMark(replyMark), verdict('return')],
          [connectionMarkIs(replyMark), setMark(replyMark)],
        ],
      },
      {
        name: 'outbound',
        type: 'nat',
        hook: 'output',
        priority: -100,
        rules: [
          [markIs(mark), verdict('accept')],
          [address('daddr', '127.0.0.0/8'), verdict('accept')],
          [address('daddr', '::1'), verdict('accept')],
          // The pod's own address stays in the pod, as without a mesh.
          [isLocal('daddr'), verdict('accept')],
          // DNS and metadata of the node.
          [address('daddr', '169.254.0.0/16'), verdict('accept')],
          ...(redirects ? [[opensTcp, redirectTo(podPorts.outbound)]] : []),
        ],
      },
      {
        name: 'inbound',
        type: 'nat',
        hook: 'prerouting',
        priority: -100,
        rules: [
          [address('saddr', probeSource[4]), verdict('accept')],
          [address('saddr', probeSource[6]), verdict('accept')],
          [tcpTo(podPorts.mesh), verdict('accept')],
          ...(redirects ? [[notFrom('lo'), opensTcp, redirectTo(podPorts.plaintext)]] : []),
        ],
      },
    ],
  }
}
