/**
 * CPU time of this codec against node:http, as a ratio, in one run and one process a side:
 * `node waypoint/http1/testing/bench.ts [seconds]`. The load comes from a raw socket client in a worker, whose time is not counted.
 */
import http from 'node:http'
import net from 'node:net'
import { once } from 'node:events'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../../../src/kit/clock.ts'
import { createHttp1Pool } from '../pool.ts'
import { serveHttp1 } from '../server.ts'
import type { ServerExchange } from '../../exchange.ts'

const limits = { maxHeaderBytes: 65536, maxHeaders: 100, maxTargetBytes: 8192, headTimeoutMs: 10000, idleTimeoutMs: 60000 }
const poolLimits = { maxConnections: 64, maxPending: 64, idleTimeoutMs: 60000, maxAgeMs: 600000 }
const fields = 'Host: bench.local:8080\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nX-Request-Id: 6f1c2f6e-9a2b-4a53-9d3c-0f6b7c1d2e3f\r\n\r\n'
const request = Buffer.from(`GET /api/books?page=1 HTTP/1.1\r\n${fields}`)
const answer = Buffer.from('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ndate: Sat, 01 Jan 2000 00:00:00 GMT\r\nserver: bench\r\ncontent-length: 13\r\n\r\nHello, world!')
const hello = Buffer.from('Hello, world!')
const connections = 32

if (isMainThread) await main()
else helper(workerData as { role: 'load'; port: number } | { role: 'origin' })

function helper(job: { role: 'load'; port: number } | { role: 'origin' }): void {
  if (job.role === 'origin') {
    const server = net.createServer((socket) => {
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('data', () => socket.write(answer))
    })
    server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as net.AddressInfo).port))
    return
  }
  let count = 0
  const sockets = Array.from({ length: connections }, () => {
    const socket = net.connect(job.port, '127.0.0.1', () => socket.write(request))
    socket.setNoDelay(true)
    socket.on('data', () => {
      count++
      socket.write(request)
    })
    socket.on('error', () => {})
    return socket
  })
  parentPort?.on('message', (message: string) => {
    parentPort?.postMessage(count)
    if (message === 'stop') {
      for (const socket of sockets) socket.destroy()
      parentPort?.close()
    }
  })
}

/** Microseconds of CPU time of the main thread for each request. */
async function measure(port: number, seconds: number): Promise<number> {
  const worker = new Worker(import.meta.filename, { workerData: { role: 'load', port } })
  const ask = async (message: string): Promise<number> => {
    worker.postMessage(message)
    const [count] = (await once(worker, 'message')) as [number]
    return count
  }
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const from = await ask('count')
  const before = process.threadCpuUsage()
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  const spent = process.threadCpuUsage(before)
  const to = await ask('stop')
  await once(worker, 'exit')
  return (spent.user + spent.system) / (to - from)
}

async function listen(server: net.Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as net.AddressInfo).port
}

async function main(): Promise<void> {
  const seconds = Number(process.argv[2] ?? 3)
  const origin = new Worker(import.meta.filename, { workerData: { role: 'origin' } })
  const [originPort] = (await once(origin, 'message')) as [number]
  const dial = async (): Promise<net.Socket> => {
    const socket = net.connect({ port: originPort, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    return socket
  }
  const pool = createHttp1Pool(dial, poolLimits, systemClock)
  const serve = (handler: (exchange: ServerExchange) => void): net.Server =>
    net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      serveHttp1(socket, handler, { limits, clock: systemClock })
    })
  const ownServer = serve((exchange) => {
    exchange.sendHead(200, ['content-type', 'text/plain'], hello.length)
    exchange.sendData(hello)
    exchange.sendEnd()
  })
  const ownProxy = serve((exchange) => {
    const { head } = exchange
    pool.request({ method: head.method, scheme: 'http', authority: head.authority, target: head.target, headers: head.headers, length: 0 }, {
      onInformational: () => {},
      onHead: (status, headers, length) => exchange.sendHead(status, headers, length),
      onData: (chunk) => exchange.sendData(chunk),
      onEnd: (trailers) => exchange.sendEnd(trailers),
      onFailure: () => exchange.abort(),
      onDrain: () => {},
      onUpgrade: () => {},
    })
  })
  const agent = new http.Agent({ keepAlive: true, maxSockets: 64 })
  const nodeServer = http.createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': hello.length })
    response.end(hello)
  })
  const nodeProxy = http.createServer((incoming, response) => {
    const outgoing = http.request({ port: originPort, host: '127.0.0.1', agent, method: incoming.method, path: incoming.url, headers: incoming.headers }, (answered) => {
      response.writeHead(answered.statusCode ?? 502, answered.headers)
      answered.pipe(response)
    })
    outgoing.end()
  })
  const raw = net.createServer({ noDelay: true }, (socket) => {
    socket.on('data', () => socket.write(answer))
    socket.on('error', () => {})
  })
  const results: Record<string, number> = {}
  for (const [name, server] of Object.entries({ raw, ownServer, nodeServer, ownProxy, nodeProxy })) {
    results[name] = await measure(await listen(server), seconds)
    server.close()
    console.log(`${name.padEnd(12)}${results[name].toFixed(1)} µs CPU a request`)
  }
  const { raw: floor = 0, ownServer: own = 0, nodeServer: node = 1, ownProxy: proxy = 0, nodeProxy: nodeP = 1 } = results
  console.log(`server ${(own / node).toFixed(2)} of node:http; proxy ${(proxy / nodeP).toFixed(2)} of node:http`)
  console.log(`parse and serve above a bare socket: ${(own - floor).toFixed(1)} µs; pool with its socket: ${(proxy - own).toFixed(1)} µs`)
  await origin.terminate()
  process.exit(0)
}
