import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Kube } from './kube.ts'

/** Channels of the first port: what is said on it, and what went wrong. Source: Kubernetes, port forwarding by WebSocket (`v4.channel.k8s.io`). */
const data = 0
const trouble = 1

/**
 * Sends bytes to a pod's port as `kubectl port-forward` does, by the API server and the kubelet, and reads until the pod closes.
 * @throws with the kubelet's words if the port can not be reached
 */
export async function throughPortForward(kube: Kube, namespace: string, pod: string, port: number, text: string, signal: AbortSignal): Promise<string> {
  const asked = request({
    socketPath: kube.socketPath, path: `/api/v1/namespaces/${namespace}/pods/${pod}/portforward?ports=${port}`, signal,
    headers: {
      'connection': 'Upgrade', 'upgrade': 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': randomBytes(16).toString('base64'),
      'sec-websocket-protocol': 'v4.channel.k8s.io',
    },
  })
  asked.end()
  const upgraded = once(asked, 'upgrade') as Promise<[unknown, Duplex, Buffer]>
  asked.once('response', (response) => asked.destroy(new Error(`the port forward was answered with ${response.statusCode ?? 0}`)))
  const [, socket, head] = await upgraded
  socket.write(binaryFrame(Buffer.concat([Buffer.from([data]), Buffer.from(text)])))
  let rest = head
  let said = ''
  const begun = new Set<number>()
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      rest = Buffer.concat([rest, chunk])
      for (let frame = takeFrame(rest); frame !== undefined; frame = takeFrame(rest)) {
        rest = rest.subarray(frame.length)
        const [channel = data] = frame.payload
        if (frame.opcode === 8) return said
        // Each channel begins with the number of its port.
        if (!begun.has(channel)) begun.add(channel)
        else if (channel === trouble) throw new Error(frame.payload.toString('utf8', 1))
        else said += frame.payload.toString('utf8', 1)
      }
    }
    return said
  } finally {
    socket.destroy()
  }
}

/** One masked frame of less than 64 KiB. Source: RFC 6455 §5.2. */
function binaryFrame(payload: Buffer): Buffer {
  const head = Buffer.from([0x82, 0x80 | 126, payload.length >> 8, payload.length & 0xff, 0, 0, 0, 0])
  return Buffer.concat([head, payload])
}

/** The first frame of what a server sent, once it is complete. */
function takeFrame(bytes: Buffer): { readonly opcode: number; readonly payload: Buffer; readonly length: number } | undefined {
  const [first, second] = bytes
  if (first === undefined || second === undefined) return undefined
  const short = second & 0x7f
  const start = short === 126 ? 4 : short === 127 ? 10 : 2
  if (bytes.length < start) return undefined
  const size = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short
  return bytes.length < start + size ? undefined : { opcode: first & 0x0f, payload: bytes.subarray(start, start + size), length: start + size }
}
