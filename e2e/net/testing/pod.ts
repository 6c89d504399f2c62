import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer as createHttpServer, get } from 'node:http'
import { connect, createServer, isIPv6, type Server, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { messageOf } from '../../../src/kit/message.ts'
import { applicationPorts, type HttpReply, type Operation, type Operations, type Reply, type Target } from './protocol.ts'

// All that runs in a pod: applications that know nothing of a mesh, and a client. To be started inside the pod's namespace: node pod.ts NAME

const name = process.argv[2] ?? 'nobody'
const patience = 5_000
let accepted = 0

const sayOf = (socket: Socket, bytes: number): string => `${JSON.stringify({ pod: name, peer: (socket.remoteAddress ?? '').replace('::ffff:', ''), bytes })}\n`

function application(port: number, serve: (socket: Socket) => void): Promise<unknown> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    accepted++
    socket.on('error', () => {})
    serve(socket)
  })
  return once(server.listen(port, '::', 4096), 'listening')
}

await application(applicationPorts.lines, (socket) => {
  socket.on('data', (data: Buffer) => socket.write(sayOf(socket, data.length)))
  socket.on('end', () => socket.end())
})
await application(applicationPorts.first, (socket) => {
  socket.end(sayOf(socket, 0))
  socket.resume()
})
await application(applicationPorts.sink, (socket) => {
  let bytes = 0
  socket.on('data', (data: Buffer) => (bytes += data.length))
  socket.on('end', () => socket.end(sayOf(socket, bytes)))
})
await once(createHttpServer((request, response) => {
  response.end(JSON.stringify({ pod: name, headers: request.headers }))
}).listen(applicationPorts.http, '::', 4096), 'listening')
const datagrams = createSocket({ type: 'udp6' })
datagrams.on('message', (message, peer) => {
  datagrams.send(JSON.stringify({ pod: name, peer: peer.address.replace('::ffff:', ''), bytes: message.length }), peer.port, peer.address)
})
datagrams.bind(applicationPorts.datagrams, '::')
await once(datagrams, 'listening')

/** Speaks on a connection and reads the answer's line. */
function talk(socket: Socket, speak: (socket: Socket) => void, patienceMs = patience): Promise<Reply> {
  return new Promise((resolve) => {
    let text = ''
    const settle = (reply: Reply): void => {
      clearTimeout(timer)
      for (const [event, listener] of Object.entries(listeners)) socket.off(event, listener)
      socket.on('error', () => {})
      resolve(reply)
    }
    const timer = setTimeout(() => settle({ error: 'timeout' }), patienceMs)
    const listeners = {
      error: (error: NodeJS.ErrnoException) => settle({ error: error.code ?? error.message }),
      close: () => settle({ error: 'closed' }),
      end: () => settle({ error: 'closed' }),
      data: (data: Buffer) => {
        text += data.toString()
        if (text.endsWith('\n')) settle(JSON.parse(text) as Reply)
      },
    }
    for (const [event, listener] of Object.entries(listeners)) socket.on(event, listener)
    if (socket.readableEnded || socket.destroyed) settle({ error: 'closed' })
    else if (socket.connecting) socket.once('connect', () => speak(socket))
    else speak(socket)
  })
}

async function converse(socket: Socket, speak: (socket: Socket) => void, patienceMs?: number): Promise<Reply> {
  const reply = await talk(socket, speak, patienceMs)
  socket.destroy()
  return reply
}

const dial = ({ host, port }: Target): Socket => connect({ host, port, allowHalfOpen: true, noDelay: true })
const hello = (socket: Socket): void => void socket.write('hello\n')

const request = ({ host, port, headers = {}, patienceMs = patience }: Operations['request']['spec']): Promise<HttpReply> =>
  new Promise((resolve) => {
    const sent = get({ host, port, headers, agent: false, timeout: patienceMs }, (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('error', (error: NodeJS.ErrnoException) => resolve({ error: error.code ?? error.message }))
      answer.on('end', () => {
        const said = answer.statusCode === 200 ? (JSON.parse(Buffer.concat(chunks).toString()) as { pod: string; headers: Record<string, string> }) : { pod: '', headers: {} }
        resolve({ status: answer.statusCode ?? 0, ...said })
      })
    })
    sent.on('timeout', () => sent.destroy(new Error('timeout')))
    sent.on('error', (error: NodeJS.ErrnoException) => resolve({ error: error.code ?? error.message }))
  })

const kept = new Map<number, Socket>()
const taken: Server[] = []
let churning = false

const perform: { readonly [Name in Operation]: (spec: Operations[Name]['spec']) => Promise<Operations[Name]['result']> } = {
  ask: (target) => converse(dial(target), hello, target.patienceMs),
  listenFirst: (target) => converse(dial(target), () => {}),
  upload: (target) => converse(dial(target), (socket) => socket.end(Buffer.alloc(target.bytes, 'x'))),
  datagram: ({ host, port }) =>
    new Promise((resolve) => {
      const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
      const timer = setTimeout(() => settle({ error: 'timeout' }), patience)
      const settle = (reply: Reply): void => {
        clearTimeout(timer)
        socket.close()
        resolve(reply)
      }
      socket.on('message', (message) => settle(JSON.parse(message.toString()) as Reply))
      socket.send('hello', port, host)
    }),
  request,
  open: async (target) => {
    const socket = dial(target)
    await once(socket, 'connect')
    const id = kept.size + 1
    kept.set(id, socket)
    return { id }
  },
  use: ({ id }) => {
    const socket = kept.get(id)
    if (socket === undefined) throw new Error(`no connection ${id}`)
    return talk(socket, hello)
  },
  shut: ({ id }) => {
    kept.get(id)?.destroy()
    return Promise.resolve(true)
  },
  churn: async ({ parallel, ...target }) => {
    churning = true
    const failed: Record<string, number> = {}
    let done = 0
    const work = async (): Promise<void> => {
      while (churning) {
        const reply = await converse(dial(target), hello)
        if ('error' in reply) failed[reply.error] = (failed[reply.error] ?? 0) + 1
        else done++
      }
    }
    await Promise.all(Array.from({ length: parallel }, work))
    return { done, failed }
  },
  halt: () => {
    churning = false
    return Promise.resolve(true)
  },
  marked: async ({ mark, ...target }) => {
    const { libc, option, family, kind } = await import('../../../src/node/native/libc.ts')
    const fd = libc.socket(isIPv6(target.host) ? family.inet6 : family.inet, kind.stream)
    libc.setOption(fd, option.mark, mark)
    const { Socket } = await import('node:net')
    const options = { fd, readable: true, writable: true, manualStart: true, allowHalfOpen: true }
    return converse(new Socket(options).connect(target), hello)
  },
  accepted: () => Promise.resolve(accepted),
  take: async ({ port }) => {
    const server = createServer()
    taken.push(server)
    await once(server.listen(port, '::'), 'listening')
    return true
  },
  give: async () => {
    await Promise.all(taken.splice(0).map((server) => new Promise((resolve) => server.close(resolve))))
    return true
  },
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { id, operation, spec } = JSON.parse(line) as { id: number; operation: Operation; spec: never }
    const answer = (what: object): void => void process.stdout.write(`${JSON.stringify({ id, ...what })}\n`)
    perform[operation](spec).then(
      (result) => answer({ result }),
      (error: unknown) => answer({ failed: messageOf(error) }),
    )
  })
  .on('close', () => process.exit())
process.stdout.write(`${JSON.stringify({ id: 0, result: true })}\n`)
