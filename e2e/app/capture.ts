import { read } from 'node:fs'
import { packetSocket } from './native.ts'

/**
 * Looks at what pods send: `capture.ts NETWORK MARKER` sees every TCP packet from NETWORK on any link of this network namespace until stdin ends, and then says in
 * one line of JSON what it saw. It begins with a line `looking`.
 */
export interface Captured {
  /** Packets that it could not read in time. */
  readonly lost: number
  readonly flows: readonly Flow[]
}

/** Packets of one pod to one port of one address. */
export interface Flow {
  readonly from: string
  readonly to: string
  readonly port: number
  readonly packets: number
  /** Bytes of TCP payload. */
  readonly bytes: number
  /** Packets in which the marker stood, to be read by everybody. */
  readonly plain: number
}

interface Draft { packets: number; bytes: number; plain: number }

if (import.meta.main) {
  const [network = '', marker = ''] = process.argv.slice(2)
  const { fd, lost } = packetSocket(network)
  const flows = new Map<string, Draft>()
  const wanted = Buffer.from(marker)
  const packet = Buffer.alloc(64 * 1024)
  const look = (length: number): void => {
    const start = ((packet[0] ?? 0) & 0x0f) * 4
    // What a link pads is no payload.
    const end = Math.min(length, packet.readUInt16BE(2))
    const payload = packet.subarray(start + ((packet[start + 12] ?? 0) >> 4) * 4, end)
    const key = `${packet.subarray(12, 16).join('.')} ${packet.subarray(16, 20).join('.')} ${packet.readUInt16BE(start + 2)}`
    const flow = flows.get(key) ?? { packets: 0, bytes: 0, plain: 0 }
    flow.packets++
    flow.bytes += payload.length
    if (payload.includes(wanted)) flow.plain++
    flows.set(key, flow)
  }
  const next = (): void => read(fd, packet, 0, packet.length, null, (error, length) => {
    if (error !== null) throw error
    if (length >= 40) look(length)
    next()
  })
  next()
  process.stdout.write('looking\n')
  process.stdin.resume().on('end', () => {
    const captured: Captured = {
      lost: lost(),
      flows: [...flows].map(([key, flow]) => {
        const [from = '', to = '', port = ''] = key.split(' ')
        return { from, to, port: Number(port), ...flow }
      }),
    }
    process.stdout.write(`${JSON.stringify(captured)}\n`, () => process.exit(0))
  })
}
