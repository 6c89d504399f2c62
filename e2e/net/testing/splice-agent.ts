import { createServer, isIPv6, type Server, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { messageOf } from '../../../src/kit/message.ts'
import { openPodNetwork, openProbeRules } from '../../../src/node/native/pod-network.ts'
import type { CapturableNetwork } from '../../../src/node/network.ts'
import { originalDestination } from '../../../src/node/native/sockets.ts'
import { podPorts } from '../../../src/node/rules/pod.ts'
import type { AgentEvent, AgentSettings } from '../lib/agent.ts'

// The least that captures: what is taken out of a pod goes on to where it was going, what comes in goes to the application, in plain.

const { pods, strict, drainMs } = JSON.parse(process.argv[2] ?? '') as AgentSettings
const say = (event: AgentEvent): void => void process.stdout.write(`${JSON.stringify(event)}\n`)
const servers: Server[] = []
const open = new Set<Socket>()

const withPort = (host: string, port: number): string => (isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`)

function splice(accepted: Socket, dialled: Socket): void {
  for (const [one, other] of [[accepted, dialled], [dialled, accepted]] as const) {
    one.on('error', () => other.resetAndDestroy())
    one.on('close', () => {
      if (!one.readableEnded || !one.writableFinished) other.resetAndDestroy()
    })
  }
  dialled.once('connect', () => {
    accepted.pipe(dialled)
    dialled.pipe(accepted)
  })
}

function listen(network: CapturableNetwork, port: number, serve: (socket: Socket) => void): Promise<void> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    serve(socket)
  })
  servers.push(server)
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ fd: network.bind(port) }, 4096, resolve)
  })
}

const networks: CapturableNetwork[] = []

async function capture({ name, netns, mark }: AgentSettings['pods'][number]): Promise<void> {
  const network = openPodNetwork(netns, { mark })
  const take = (event: 'outbound' | 'inbound') => (socket: Socket): void => {
    const target = originalDestination(socket)
    if (target === undefined) {
      say({ event: 'direct', pod: name })
      socket.resetAndDestroy()
      return
    }
    const peer = (socket.remoteAddress ?? '').replace('::ffff:', '')
    say({ event, pod: name, from: withPort(peer, socket.remotePort ?? 0), to: withPort(target.host, target.port) })
    if (event === 'inbound' && strict) socket.resetAndDestroy()
    else splice(socket, network.dial(event === 'inbound' ? { ...target, from: peer } : target))
  }
  await listen(network, podPorts.outbound, take('outbound'))
  await listen(network, podPorts.plaintext, take('inbound'))
  await network.capture()
  networks.push(network)
}

for (const pod of pods) {
  try {
    await capture(pod)
  } catch (error) {
    say({ event: 'failed', pod: pod.name, message: messageOf(error) })
  }
}
await openProbeRules().put(pods.flatMap((pod) => pod.addresses))
say({ event: 'ready' })
createInterface({ input: process.stdin }).on('line', (line) => {
  const done = line === 'relax' || line === 'release' ? Promise.all(networks.map((network) => network[line]())) : Promise.resolve()
  void done.then(() => say({ event: 'fence' }))
})

process.on('SIGTERM', () => {
  for (const server of servers) server.close()
  const end = performance.now() + drainMs
  const timer = setInterval(() => {
    if (open.size === 0 || performance.now() > end) {
      clearInterval(timer)
      process.exit()
    }
  }, 10)
})
