import { connect, createServer, type AddressInfo } from 'node:net'
import { systemClock } from '../../src/kit/clock.ts'
import { collectLess } from '../../src/kit/collections.ts'
import type { Credentials } from '../../src/model/credentials.ts'
import { formatSpiffeId } from '../../src/model/identity.ts'
import { createHboneClient } from '../../src/transport/hbone-client.ts'
import { listenHbone } from '../../src/transport/hbone-server.ts'
import { splice } from '../../src/transport/tunnel.ts'
import { runScript } from '../children.ts'
import type { AgentAnswer, AgentCommand } from './agent.ts'

/**
 * Both legs and nothing else: no decision, no judgement, no metrics, no record. What an agent costs beyond this, the mesh's own logic costs;
 * what this costs, HTTP/2, TLS and the kernel do.
 */
runScript<{ readonly credentials: Credentials }>(async ({ credentials }) => {
  collectLess(systemClock)
  const source = { identity: credentials.identity, current: () => credentials, onChange: () => () => {} }
  const client = createHboneClient({ credentials: source, clock: systemClock })
  let to: AgentCommand['to']
  const outbound = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
    socket.on('error', () => {})
    if (to === undefined) return
    const { address, port, identity, hbonePort = 15008 } = to
    void client.connect({ host: address, port: hbonePort, authority: `${address}:${port}`, peer: { kind: 'identity', id: identity } }).then((tunnel) => splice(socket, tunnel))
  })
  await new Promise<void>((resolve) => outbound.listen(0, '127.0.0.1', resolve))
  const inbound = await listenHbone({
    credentials: source, host: '127.0.0.1', port: 0, clock: systemClock,
    onTunnel: ({ host, port, accept }) => {
      const socket = connect({ host, port, allowHalfOpen: true, noDelay: true })
      socket.on('error', () => {})
      socket.once('connect', () => splice(accept(), socket))
    },
  })
  process.on('message', (command: AgentCommand) => {
    to = command.to
    process.send?.({ address: '127.0.0.1', identity: formatSpiffeId(credentials.identity), hbonePort: inbound.address.port, rss: process.memoryUsage().rss } satisfies AgentAnswer)
  })
  return { port: (outbound.address() as AddressInfo).port }
})
