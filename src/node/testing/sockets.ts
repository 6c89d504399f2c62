import { connect, type Socket } from 'node:net'
import { formatAuthority } from '../../transport/authority.ts'
import { plainAddress } from '../traffic/addresses.ts'
import { NetworkError, type OriginalDestination, type PodNetwork } from '../network.ts'

/** What is used of Node's own binding: the one way to a socket that is bound and does not listen, without native code. */
interface TcpHandle {
  readonly fd: number
  readonly bind: (address: string, port: number, flags: number) => number
  readonly getsockname: (into: { port?: number }) => number
}
const { TCP, constants } = (process as unknown as { readonly binding: (name: 'tcp_wrap') => { readonly TCP: new (type: number) => TcpHandle; readonly constants: { readonly SERVER: number; readonly UV_TCP_REUSEPORT: number } } })
  .binding('tcp_wrap')

/** Handles are never closed: their sockets belong to the servers that were given them. */
const handles: TcpHandle[] = []
let pods = 0
/** Of all loopback's addresses each process takes others. */
const prefix = `127.${1 + (process.pid % 250)}.${1 + (Math.floor(process.pid / 250) % 250)}`

/** A pod that is one address of loopback, with all ports of its own. */
export interface LoopbackPod {
  readonly address: string
  readonly network: PodNetwork
  /** Sockets dialled so far that are not closed. */
  readonly dialled: () => readonly Socket[]
  /** Where the pod's network was asked to connect, oldest first: `[from >] address:port`. */
  readonly dials: readonly string[]
  readonly originalDestination: OriginalDestination
  /** Connects as an application of the pod would; a redirect takes it to `port` of the pod's own address. */
  readonly connectTo: (port: number, target: { readonly host: string; readonly port: number }) => Socket
  /** Connects from outside to the pod's application; a redirect takes it to `port`. @param from another address */
  readonly connectFrom: (from: string, port: number, target: number) => Socket
}

/**
 * @param showSource false: `dial` remembers nothing and never binds. Binding without IP_BIND_ADDRESS_NO_PORT, which only native code can set, makes the system
 * look for a free port each time, which costs more than all else of a connection.
 * @param address which it is; default: one that no other pod of this process has
 */
export function loopbackPod(showSource = true, address = anotherAddress()): LoopbackPod {
  const going = new Map<string, { readonly host: string; readonly port: number }>()
  const sockets = new Set<Socket>()
  const dials: string[] = []
  let closed = false

  const network: PodNetwork = {
    place: { path: address, mark: 0 },
    bind: (port) => {
      if (closed) throw new NetworkError('EBADF', `bind ${address}:${port}`)
      const handle = new TCP(constants.SERVER)
      const failed = handle.bind(address, port, constants.UV_TCP_REUSEPORT)
      if (failed !== 0) throw new NetworkError(failed === -98 ? 'EADDRINUSE' : `E${-failed}`, `bind ${address}:${port}`)
      const bound: { port?: number } = {}
      handle.getsockname(bound)
      // libuv keeps it to itself until somebody listens on this very handle.
      if (bound.port !== port) throw new NetworkError('EADDRINUSE', `bind ${address}:${port}`)
      handles.push(handle)
      return handle.fd
    },
    dial: ({ host, port, from }) => {
      if (showSource) dials.push(`${from === undefined ? '' : `${from} > `}${host}:${port}`)
      const socket = connect({ host, port, localAddress: host.includes(':') || !showSource ? undefined : (from ?? address), allowHalfOpen: true, noDelay: true, autoSelectFamily: false })
      if (showSource) {
        sockets.add(socket)
        socket.once('close', () => sockets.delete(socket))
      }
      return socket
    },
    deaf: () => false,
    close: () => {
      closed = true
    },
  }
  const redirect = (from: string, port: number, target: { readonly host: string; readonly port: number }): Socket => {
    const localPort = freePort(from)
    going.set(formatAuthority(from, localPort), target)
    const socket = connect({ host: address, port, localAddress: from, localPort, allowHalfOpen: true, noDelay: true, autoSelectFamily: false })
    socket.on('error', () => {})
    socket.once('close', () => going.delete(formatAuthority(from, localPort)))
    return socket
  }
  return {
    address,
    network,
    dialled: () => [...sockets],
    dials,
    originalDestination: (socket) => going.get(formatAuthority(plainAddress(socket.remoteAddress ?? ''), socket.remotePort ?? 0)),
    connectTo: (port, target) => redirect(address, port, target),
    connectFrom: (from, port, target) => redirect(from, port, { host: address, port: target }),
  }
}

function anotherAddress(): string {
  pods++
  return `${prefix}.${pods % 250}`
}

const next = new Map<string, number>()

/** Above the ports that the system gives by itself, and each once for an address. */
function freePort(address: string): number {
  const port = next.get(address) ?? 61_000
  next.set(address, port >= 65_500 ? 1_100 : port + 1)
  return port
}
