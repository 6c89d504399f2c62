import { isIPv6, Socket } from 'node:net'
import { addressBytes, addressText } from '../rules/address.ts'
import { podPorts } from '../rules/pod.ts'
import { NetworkError, type DialTarget, type OriginalDestination } from '../network.ts'
import { family, kind, libc, option } from './libc.ts'
import type { Namespace } from './namespace.ts'

/**
 * Only the call that makes a socket happens inside the namespace: a socket stays in the namespace that it was made in, whatever thread uses it. Node's own
 * `listen({ host })` and `connect` make theirs later, and so on the node.
 */
const makeIn = (namespace: Namespace, domain: number): number => namespace.run(() => libc.socket(domain, kind.stream))

/** A socket bound to all addresses of the namespace, IPv4 as well. Where the kernel has no IPv6, to IPv4's. @throws NetworkError */
export function bindSocket(namespace: Namespace, port: number): number {
  const inet6 = hasInet6(namespace)
  const fd = makeIn(namespace, inet6 ? family.inet6 : family.inet)
  try {
    libc.setOption(fd, option.reuseAddress, 1)
    // The agent that takes over binds before this one lets go.
    libc.setOption(fd, option.reusePort, 1)
    if (inet6) libc.setOption(fd, option.onlyInet6, 0)
    libc.bind(fd, socketAddress(inet6 ? '::' : '0.0.0.0', port), `[::]:${port}`)
    return fd
  } catch (error) {
    libc.close(fd)
    throw error
  }
}

const answer = Buffer.alloc(4)

/** Whether a socket listens; false also if there is none. */
export function isListening(fd: number): boolean {
  return libc.readOption(fd, option.listens, answer) && answer.readInt32LE() === 1
}

function hasInet6(namespace: Namespace): boolean {
  try {
    libc.close(makeIn(namespace, family.inet6))
    return true
  } catch (error) {
    if (error instanceof NetworkError && error.code === 'EAFNOSUPPORT') return false
    throw error
  }
}

/** A socket that connects from within the namespace, with `mark`. What fails, also in making it, comes as its `error`. */
export function dialSocket(namespace: Namespace, mark: number, target: DialTarget): Socket {
  let fd: number
  try {
    fd = connectingSocket(namespace, mark, target)
  } catch (error) {
    // Once who dials has had the time to listen for it.
    const failed = new Socket({ allowHalfOpen: true })
    failed.destroy(error instanceof Error ? error : new Error(String(error)))
    return failed
  }
  // Without manualStart Node reads from it before it is connected. It owns the descriptor from here.
  const options = { fd, readable: true, writable: true, manualStart: true, allowHalfOpen: true }
  const socket = new Socket(options)
  // A literal, so nothing is looked up, and Node connects this very descriptor.
  socket.connect({ host: target.host, port: target.port })
  return socket
}

function connectingSocket(namespace: Namespace, mark: number, { host, port, from }: DialTarget): number {
  const inet6 = isIPv6(host)
  const about = `connect ${host} port ${port}`
  if (addressBytes(host).length !== (inet6 ? 16 : 4) || (from !== undefined && isIPv6(from) !== inet6)) throw new NetworkError('EINVAL', about, 'source and target are of different families')
  const fd = makeIn(namespace, inet6 ? family.inet6 : family.inet)
  try {
    // Setting one needs rights, also if it is none.
    if (mark !== 0) libc.setOption(fd, option.mark, mark)
    libc.setOption(fd, option.noDelay, 1)
    if (from !== undefined) {
      libc.setOption(fd, inet6 ? option.transparent6 : option.transparent4, 1)
      libc.setOption(fd, option.lateBind, 1)
      libc.bind(fd, socketAddress(from, 0), `${from}, which is not the pod's`)
    }
    return fd
  } catch (error) {
    libc.close(fd)
    throw error
  }
}

/** struct sockaddr_in or sockaddr_in6. */
function socketAddress(host: string, port: number): Buffer {
  const bytes = addressBytes(host)
  const made = Buffer.alloc(bytes.length === 4 ? 16 : 28)
  made.writeUInt16LE(bytes.length === 4 ? family.inet : family.inet6, 0)
  made.writeUInt16BE(port, 2)
  bytes.copy(made, bytes.length === 4 ? 4 : 8)
  return made
}

const captured: readonly number[] = [podPorts.outbound, podPorts.plaintext]
const found4 = Buffer.alloc(16)
const found6 = Buffer.alloc(28)

/** Asks the kernel's tracking of connections. Undefined also if that knows nothing, or if the destination is another listener of the agent in this pod. */
export const originalDestination: OriginalDestination = (socket) => {
  const fd = (socket as unknown as { readonly _handle?: { readonly fd?: number } })._handle?.fd
  const local = socket.localAddress
  if (fd === undefined || fd < 0 || local === undefined) return undefined
  const four = !isIPv6(local) || local.startsWith('::ffff:')
  const found = four ? found4 : found6
  if (!libc.readOption(fd, four ? option.original4 : option.original6, found)) return undefined
  const host = addressText(four ? found.subarray(4, 8) : found.subarray(8, 24))
  const port = found.readUInt16BE(2)
  const own = host === (four ? local.replace('::ffff:', '') : local)
  return own && (port === socket.localPort || captured.includes(port)) ? undefined : { host, port }
}
