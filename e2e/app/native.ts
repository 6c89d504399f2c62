import { closeSync } from 'node:fs'
import koffi from 'koffi'

const library = koffi.load(null)
const socket = library.func('int socket(int domain, int type, int protocol)') as (domain: number, type: number, protocol: number) => number
const bind = library.func('int bind(int fd, const void *address, uint32_t length)') as (fd: number, address: Buffer, length: number) => number
const setsockopt = library.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)') as (fd: number, level: number, name: number, value: Buffer, length: number) => number
const getsockopt = library.func('int getsockopt(int fd, int level, int name, void *value, _Inout_ uint32_t *length)') as (fd: number, level: number, name: number, value: Buffer, length: [number]) => number

function check(result: number, what: string): number {
  if (result < 0) throw new Error(`${what}: errno ${koffi.errno()}`)
  return result
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** A TCP socket that is not connected yet and whose packets are marked; needs NET_RAW. Source: Linux `SO_MARK`. */
export function markedSocket(mark: number): number {
  const [inet, stream, solSocket, soMark] = [2, 1 | 0o4000 | 0o2000000, 1, 36]
  const fd = check(socket(inet, stream, 0), 'socket')
  try {
    check(setsockopt(fd, solSocket, soMark, uint32(mark), 4), 'SO_MARK')
  } catch (error) {
    closeSync(fd)
    throw error
  }
  return fd
}

/** A socket that gives every IPv4 TCP packet from a network that passes any link, from its IP header on, one by one; needs NET_RAW and NET_ADMIN. */
export interface PacketSocket {
  readonly fd: number
  /** How many packets were lost since it was asked last, because nobody read them in time. */
  readonly lost: () => number
}

/** @param from network of the packets' sources, `10.244.1.0/24` */
export function packetSocket(from: string): PacketSocket {
  const [packet, datagram, solSocket, solPacket] = [17, 2 | 0o2000000, 1, 263]
  const fd = check(socket(packet, datagram, 0), 'socket')
  const [address = '', bits = '32'] = from.split('/')
  const network = address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0)
  const mask = Number(bits) === 0 ? 0 : (0xffffffff << (32 - Number(bits))) >>> 0
  // Classic BPF, on what begins with the IP header. Source: Linux `Documentation/networking/filter.rst`.
  const [load1, load4, and, equal, end] = [0x30, 0x20, 0x54, 0x15, 0x06]
  const program = [
    [load1, 0, 0, 0], [and, 0, 0, 0xf0], [equal, 0, 6, 0x40],
    [load1, 0, 0, 9], [equal, 0, 4, 6],
    [load4, 0, 0, 12], [and, 0, 0, mask], [equal, 0, 1, network],
    [end, 0, 0, 0xffff], [end, 0, 0, 0],
  ] as const
  const code = Buffer.concat(program.map(([operation, yes, no, value]) => {
    const bytes = Buffer.alloc(8)
    bytes.writeUInt16LE(operation, 0)
    bytes.writeUInt8(yes, 2)
    bytes.writeUInt8(no, 3)
    bytes.writeUInt32LE(value, 4)
    return bytes
  }))
  const filter = Buffer.alloc(16)
  filter.writeUInt16LE(program.length, 0)
  filter.writeBigUInt64LE(koffi.address(code), 8)
  check(setsockopt(fd, solSocket, 26, filter, 16), 'SO_ATTACH_FILTER')
  // A busy machine reads late: what is lost proves nothing.
  check(setsockopt(fd, solSocket, 33, uint32(64 << 20), 4), 'SO_RCVBUFFORCE')
  const link = Buffer.alloc(20)
  link.writeUInt16LE(packet, 0)
  link.writeUInt16BE(0x0003, 2)
  check(bind(fd, link, link.length), 'bind')
  return {
    fd,
    lost: () => {
      const statistics = Buffer.alloc(8)
      check(getsockopt(fd, solPacket, 6, statistics, [8]), 'PACKET_STATISTICS')
      return statistics.readUInt32LE(4)
    },
  }
}
