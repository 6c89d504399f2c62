import { constants } from 'node:os'
import koffi, { type KoffiFunc } from 'koffi'
import { NetworkError } from '../network.ts'

// The process's own symbols: the C library that Node itself runs on, whatever its file is called.
const library = koffi.load(null)

const close = library.func('int close(int fd)') as (fd: number) => number
const setns = library.func('int setns(int fd, int kind)') as (fd: number, kind: number) => number
const socket = library.func('int socket(int domain, int type, int protocol)') as (domain: number, type: number, protocol: number) => number
const bind = library.func('int bind(int fd, const void *address, uint32_t length)') as (fd: number, address: Buffer, length: number) => number
const setsockopt = library.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)') as (
  fd: number,
  level: number,
  name: number,
  value: Buffer,
  length: number,
) => number
const getsockopt = library.func('int getsockopt(int fd, int level, int name, void *value, _Inout_ uint32_t *length)') as (
  fd: number,
  level: number,
  name: number,
  value: Buffer,
  length: [number],
) => number
const send = library.func('long send(int fd, const void *data, size_t length, int flags)') as KoffiFunc<
  (fd: number, data: Buffer, length: number, flags: number) => number
>
const recv = library.func('long recv(int fd, void *data, size_t length, int flags)') as (fd: number, data: Buffer, length: number, flags: number) => number

const names = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]))

/** The name of an errno: `EADDRINUSE`. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `errno ${errno}`
}

/** What a call gave back. @throws NetworkError if that is -1 */
function check(result: number, syscall: string): number {
  // Before anything else: the next call of any kind may change it.
  const errno = result < 0 ? koffi.errno() : 0
  if (result < 0) throw new NetworkError(errnoName(errno), syscall)
  return result
}

/** AF_INET, AF_INET6, AF_NETLINK. */
export const family = { inet: 2, inet6: 10, netlink: 16 } as const
/** SOCK_STREAM and SOCK_RAW, both with SOCK_NONBLOCK and SOCK_CLOEXEC. */
export const kind = { stream: 1 | 0o4000 | 0o2000000, raw: 3 | 0o4000 | 0o2000000 } as const

/**
 * Options of sockets, as `[level, name]`. The numbers are those of x64 and arm64.
 * Source: Linux `include/uapi/asm-generic/socket.h`, `include/uapi/linux/{in,in6,tcp,netfilter_ipv4,netfilter_ipv6/ip6_tables}.h`.
 */
export const option = {
  reuseAddress: [1, 2],
  reusePort: [1, 15],
  mark: [1, 36],
  noDelay: [6, 1],
  transparent4: [0, 19],
  transparent6: [41, 75],
  /** The port is chosen when the connection is made, for its whole tuple: as many connections as there are tuples, not ports. */
  lateBind: [0, 24],
  /** 0: IPv4 too. */
  onlyInet6: [41, 26],
  /** Read only: whether it listens. */
  listens: [1, 30],
  original4: [0, 80],
  original6: [41, 80],
} as const satisfies Readonly<Record<string, readonly [number, number]>>

export type SocketOption = readonly [level: number, name: number]

/** The calls, each of which throws NetworkError (`code` is the errno's name). */
export const libc = {
  /** Opens for reading, close-on-exec. */
  close: (fd: number): void => void check(close(fd), 'close'),
  /** Moves this thread into the network namespace `fd`: only for `namespace.ts`. */
  setNetworkNamespace: (fd: number): void => void check(setns(fd, 0x40000000), 'setns'),
  socket: (domain: number, type: number, protocol = 0): number => check(socket(domain, type, protocol), `socket ${domain}`),
  bind: (fd: number, address: Buffer, about: string): void => void check(bind(fd, address, address.length), `bind ${about}`),
  /** Sets an option of 32 bits. */
  setOption: (fd: number, [level, name]: SocketOption, value: number): void => {
    number.writeInt32LE(value | 0)
    check(setsockopt(fd, level, name, number, 4), `setsockopt ${level},${name}`)
  },
  /** Reads an option into `into`. @returns false if the kernel has none, or not for this socket */
  readOption: (fd: number, [level, name]: SocketOption, into: Buffer): boolean => {
    length[0] = into.length
    return getsockopt(fd, level, name, into, length) === 0
  },
  /** Sends from a thread of the pool: the loop goes on while the kernel works. */
  send: (fd: number, data: Buffer): Promise<void> =>
    new Promise((resolve, reject) => {
      send.async(fd, data, data.length, 0, (error: unknown, sent) => {
        if (error !== null && error !== undefined) reject(error instanceof Error ? error : new NetworkError('EIO', 'send'))
        // The errno is the other thread's and lost.
        else if (sent < 0) reject(new NetworkError('EIO', 'send'))
        else resolve()
      })
    }),
  /** @returns what there is, undefined if there is nothing now */
  receive: (fd: number, into: Buffer): Buffer | undefined => {
    const got = recv(fd, into, into.length, 0)
    if (got < 0 && koffi.errno() === constants.errno.EAGAIN) return undefined
    return into.subarray(0, check(got, 'recv'))
  },
} as const

// Used within one synchronous call each.
const number = Buffer.alloc(4)
const length: [number] = [0]
