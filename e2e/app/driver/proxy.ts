import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** The entry of the pod that the driver runs in. */
export const entry = 'http://127.0.0.1:15080'

/** @param via a proxy's URL, `direct`, or undefined for the pod's entry */
export function proxyOf(via: string | undefined): { readonly host: string; readonly port: number } | undefined {
  if (via === 'direct') return undefined
  const { hostname, port } = new URL(via ?? entry)
  return { host: hostname, port: Number(port) }
}

/** @throws if it is not `host:port` */
export function splitTarget(target: string): { readonly host: string; readonly port: number } {
  const colon = target.lastIndexOf(':')
  const port = Number(target.slice(colon + 1))
  if (colon < 1 || !Number.isInteger(port) || port < 1) throw new Error(`a target is host:port, not ${target}`)
  return { host: target.slice(0, colon), port }
}

/**
 * A connection to `target` through the proxy's CONNECT, or straight.
 * @throws with the proxy's status and reason if it refuses
 */
export async function tunnel(target: string, via: string | undefined, timeoutMs: number, allowHalfOpen = false): Promise<Socket> {
  const proxy = proxyOf(via)
  const socket = connect({ ...(proxy ?? splitTarget(target)), noDelay: true, allowHalfOpen })
  const timer = setTimeout(() => socket.destroy(new Error(`no connection within ${timeoutMs} ms`)), timeoutMs)
  try {
    await once(socket, 'connect')
    if (proxy === undefined) return socket
    socket.write(`CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n\r\n`)
    const head = await readHead(socket)
    if (/^HTTP\/1\.1 200 /.test(head)) return socket
    socket.destroy()
    throw new Error(`the proxy answered ${head.split(' ')[1] ?? '?'} ${/^x-waypoint-reason: (.*)$/im.exec(head)?.[1]?.trim() ?? ''}`.trim())
  } finally {
    clearTimeout(timer)
  }
}

/** Bytes up to the empty line; what follows stays in the socket. */
async function readHead(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let read = Buffer.alloc(0)
    const onData = (chunk: Buffer): void => {
      read = Buffer.concat([read, chunk])
      const end = read.indexOf('\r\n\r\n')
      if (end === -1) return
      off()
      socket.pause()
      if (read.length > end + 4) socket.unshift(read.subarray(end + 4))
      resolve(read.toString('latin1', 0, end + 2))
    }
    const onClose = (error?: unknown): void => {
      off()
      reject(error instanceof Error ? error : new Error('the connection ended before it was answered'))
    }
    const off = (): void => void socket.off('data', onData).off('close', onClose).off('error', onClose)
    socket.on('data', onData).on('close', onClose).on('error', onClose)
  })
}
