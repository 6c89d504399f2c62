import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'

/** One port-forward as the server sees it. */
export interface Forwarded {
  readonly request: IncomingMessage
  /** Bytes from the process in the pod. */
  readonly send: (data: string | Buffer) => void
  /** What the kubelet complains of. */
  readonly complain: (text: string) => void
  /** Ends it. */
  readonly close: () => void
  /** Told when the client has ended it. */
  readonly onClose: (listener: () => void) => void
}

/** The part of an API server that forwards ports, by web socket. */
export interface ForwardServer {
  readonly config: () => KubeConfig
  readonly close: () => Promise<void>
}

/**
 * @param refuse status with which the upgrade is refused; undefined: not at all
 * @param onData gets what the client sends to the process in the pod, piece by piece
 */
export async function startForwardServer(onData: (forwarded: Forwarded, data: Buffer) => void, refuse: (request: IncomingMessage) => number | undefined = () => undefined): Promise<ForwardServer> {
  const sockets = new Set<Socket>()
  const server = createServer((_, response) => response.writeHead(404).end())
  server.on('upgrade', (request: IncomingMessage, socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    const status = refuse(request)
    if (status !== undefined) return void socket.end(`HTTP/1.1 ${status} Refused\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
    // Source: RFC 6455, section 4.2.2.
    const accept = createHash('sha1').update(`${request.headers['sec-websocket-key'] ?? ''}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\nsec-websocket-protocol: v4.channel.k8s.io\r\n\r\n`)
    const port = Buffer.alloc(2)
    port.writeUInt16LE(Number(new URL(request.url ?? '/', 'http://server').searchParams.get('ports')))
    const onClose: (() => void)[] = []
    const forwarded: Forwarded = {
      request,
      send: (data) => void socket.write(frame(Buffer.concat([Buffer.of(0), Buffer.from(data)]))),
      complain: (text) => void socket.write(frame(Buffer.concat([Buffer.of(1), Buffer.from(text)]))),
      close: () => void socket.end(Buffer.of(0x88, 0)),
      onClose: (listener) => void onClose.push(listener),
    }
    // Each channel begins with the number of its port. Source: Kubernetes, k8s.io/kubelet portforward over web sockets.
    for (const channel of [0, 1]) socket.write(frame(Buffer.concat([Buffer.of(channel), port])))
    let rest = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk])
      for (let next = readFrame(rest); next !== undefined; next = readFrame(rest)) {
        rest = rest.subarray(next.length)
        if (next.opcode === 8) for (const listener of onClose.splice(0)) listener()
        if (next.opcode === 2 && next.payload[0] === 0) onData(forwarded, next.payload.subarray(1))
      }
    })
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    config: () => {
      const config = new KubeConfig()
      config.loadFromOptions({
        clusters: [{ name: 'simulated', server: `http://127.0.0.1:${port}`, skipTLSVerify: true }], users: [{ name: 'simulated', token: 'secret' }],
        contexts: [{ name: 'simulated', cluster: 'simulated', user: 'simulated' }], currentContext: 'simulated',
      })
      return config
    },
    close: () => new Promise((resolve) => {
      for (const socket of sockets) socket.destroy()
      server.close(() => resolve())
    }),
  }
}

/** A binary frame, not masked, as servers send them. */
function frame(payload: Buffer): Buffer {
  const head = payload.length < 126 ? Buffer.of(0x82, payload.length) : Buffer.alloc(payload.length < 65_536 ? 4 : 10)
  if (head.length === 4) {
    head.set([0x82, 126])
    head.writeUInt16BE(payload.length, 2)
  } else if (head.length === 10) {
    head.set([0x82, 127])
    head.writeBigUInt64BE(BigInt(payload.length), 2)
  }
  return Buffer.concat([head, payload])
}

/** The first frame of what a client sent, which is masked and here always short; undefined: it is not all there yet. */
function readFrame(bytes: Buffer): { readonly opcode: number; readonly payload: Buffer; readonly length: number } | undefined {
  if (bytes.length < 6) return undefined
  const short = (bytes[1] ?? 0) & 0x7f
  const at = short === 126 ? 4 : 2
  const size = short === 126 ? bytes.readUInt16BE(2) : short
  if (bytes.length < at + 4 + size) return undefined
  const mask = bytes.subarray(at, at + 4)
  const payload = Buffer.from(bytes.subarray(at + 4, at + 4 + size).map((byte, index) => byte ^ (mask[index % 4] ?? 0)))
  return { opcode: (bytes[0] ?? 0) & 0x0f, payload, length: at + 4 + size }
}
