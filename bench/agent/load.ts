import { connect, type Socket } from 'node:net'
import { messageOf } from '../../src/kit/message.ts'
import { runScript } from '../children.ts'
import { answer } from './answer.ts'

/** Where an application's connections are caught. */
export interface LoadOptions {
  readonly host: string
  readonly port: number
}

export type LoadCommand =
  /** Requests over kept connections, one on its way on each. */
  | { readonly kind: 'keep-alive'; readonly connections: number; readonly requests: number }
  /** Connections with one request each. */
  | { readonly kind: 'churn'; readonly connections: number; readonly total: number }
  | { readonly kind: 'down' | 'up'; readonly connections: number; readonly bytes: number }
  /** Requests over kept connections while bulk transfers run, for a time. */
  | { readonly kind: 'beside'; readonly connections: number; readonly bulk: number; readonly ms: number; readonly bulkFirst: boolean }

export interface LoadResult {
  readonly ms: number
  /** Milliseconds of single requests, sorted; only of `keep-alive` and `beside`. */
  readonly latencies?: readonly number[]
  /** Bytes that bulk transfers moved; only of `beside`. */
  readonly bulkBytes?: number
}

const request = Buffer.from('GET / HTTP/1.1\r\nhost: backend\r\nuser-agent: bench/1\r\naccept: */*\r\n\r\n')
const answerBytes = answer.length
const kept: Socket[] = []

runScript<LoadOptions>(({ host, port }) => {
  const open = (): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true, allowHalfOpen: true })
      socket.on('error', reject)
      socket.once('connect', () => resolve(socket))
    })
  const obey = async (command: LoadCommand): Promise<LoadResult> => {
    switch (command.kind) {
      case 'keep-alive': {
        while (kept.length < command.connections) kept.push(await open())
        return keepAlive(kept.slice(0, command.connections), command.requests)
      }
      case 'churn':
        return churn(open, command.connections, command.total)
      case 'down':
      case 'up': {
        const startMs = performance.now()
        await Promise.all(Array.from({ length: command.connections }, async () => transfer(await open(), command.kind, command.bytes / command.connections, () => {})))
        return { ms: performance.now() - startMs }
      }
      case 'beside':
        return beside(open, command)
    }
  }
  process.on('message', (command: LoadCommand) => {
    obey(command).then((done) => process.send?.(done), (error: unknown) => process.send?.({ failed: messageOf(error) }))
  })
  return Promise.resolve({ port: 0 })
})

/** One request on each socket at a time until `enough`. */
async function rounds(sockets: readonly Socket[], enough: () => boolean): Promise<number[]> {
  const latencies: number[] = []
  await Promise.all(sockets.map((socket) => new Promise<void>((resolve, reject) => {
    let got = 0
    let startMs = 0
    const send = (): void => {
      if (enough()) {
        socket.off('data', onData)
        socket.off('error', reject)
        socket.off('close', onClose)
        resolve()
        return
      }
      startMs = performance.now()
      socket.write(request)
    }
    const onData = (chunk: Buffer): void => {
      got += chunk.length
      if (got < answerBytes) return
      got = 0
      latencies.push(performance.now() - startMs)
      send()
    }
    const onClose = (): void => reject(new Error('a kept connection was closed'))
    socket.once('error', reject)
    socket.once('close', onClose)
    socket.on('data', onData)
    send()
  })))
  return latencies
}

async function keepAlive(sockets: readonly Socket[], requests: number): Promise<LoadResult> {
  let sent = 0
  const startMs = performance.now()
  const latencies = await rounds(sockets, () => sent++ >= requests)
  return { ms: performance.now() - startMs, latencies: latencies.sort((a, b) => a - b) }
}

async function churn(open: () => Promise<Socket>, connections: number, total: number): Promise<LoadResult> {
  let left = total
  const startMs = performance.now()
  await Promise.all(Array.from({ length: connections }, async () => {
    while (left-- > 0) {
      const socket = await open()
      await new Promise<void>((resolve, reject) => {
        let got = 0
        socket.on('data', (chunk: Buffer) => {
          got += chunk.length
          if (got === answerBytes) socket.end()
        })
        socket.on('error', reject)
        socket.on('close', () => (got === answerBytes ? resolve() : reject(new Error(`${got} bytes were answered`))))
        socket.write(request)
      })
    }
  }))
  return { ms: performance.now() - startMs }
}

const block = Buffer.alloc(256 * 1024)

function transfer(socket: Socket, kind: 'down' | 'up', bytes: number, onBytes: (count: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let got = 0
    socket.on('data', (chunk: Buffer) => {
      got += chunk.length
      onBytes(chunk.length)
    })
    socket.on('error', reject)
    socket.on('close', () => (got === (kind === 'down' ? bytes : 4) ? resolve() : reject(new Error(`${got} of ${bytes} bytes`))))
    if (kind === 'down') {
      socket.end(`DOWN ${bytes} `)
      return
    }
    let left = bytes
    const more = (): void => {
      while (left > 0) {
        const size = Math.min(left, block.length)
        left -= size
        if (!socket.write(size === block.length ? block : block.subarray(0, size))) return
      }
      socket.end()
    }
    socket.on('drain', more)
    socket.write('UP ')
    more()
  })
}

async function beside(open: () => Promise<Socket>, { connections, bulk, ms, bulkFirst }: Extract<LoadCommand, { kind: 'beside' }>): Promise<LoadResult> {
  let bulkBytes = 0
  const streams: Socket[] = []
  const startBulk = async (): Promise<void> => {
    for (let at = 0; at < bulk; at++) {
      const socket = await open()
      streams.push(socket)
      transfer(socket, 'down', 1e12, (count) => { bulkBytes += count }).catch(() => {})
    }
    // Until they are known to be bulk.
    if (bulk > 0) await new Promise((resolve) => setTimeout(resolve, 300))
  }
  const sockets: Socket[] = []
  const startSmall = async (): Promise<void> => {
    while (sockets.length < connections) sockets.push(await open())
    let left = connections
    await rounds(sockets, () => left-- <= 0)
  }
  for (const start of bulkFirst ? [startBulk, startSmall] : [startSmall, startBulk]) await start()
  bulkBytes = 0
  const startMs = performance.now()
  const latencies = await rounds(sockets, () => performance.now() - startMs > ms)
  const taken = performance.now() - startMs
  for (const socket of [...streams, ...sockets]) {
    socket.removeAllListeners('close')
    socket.on('error', () => {})
    socket.resetAndDestroy()
  }
  return { ms: taken, bulkBytes, latencies: latencies.sort((a, b) => a - b) }
}
