import { createServer, type Socket } from 'node:net'
import { runScript } from '../children.ts'
import { answer } from './answer.ts'

const endOfHead = Buffer.from('\r\n\r\n')
const block = Buffer.alloc(256 * 1024)

/** Listens on the address of the pod that it is the application of. */
runScript<{ readonly host: string }>(async ({ host }) => {
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    socket.once('data', (first: Buffer) => {
      const [word, count] = first.toString('latin1').split(' ')
      if (word === 'DOWN') send(socket, Number(count))
      else if (word === 'UP') receive(socket)
      else serve(socket, first)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  return { port: (server.address() as { readonly port: number }).port }
})

/** Answers every head; requests have no bodies here. */
function serve(socket: Socket, first: Buffer): void {
  let rest: Buffer = Buffer.alloc(0)
  const read = (chunk: Buffer): void => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    let from = 0
    for (let at = bytes.indexOf(endOfHead); at >= 0; at = bytes.indexOf(endOfHead, from)) {
      from = at + endOfHead.length
      socket.write(answer)
    }
    rest = bytes.subarray(from)
  }
  socket.on('data', read)
  socket.on('end', () => socket.end())
  read(first)
}

/** Sends `bytes` and its end. */
function send(socket: Socket, bytes: number): void {
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
  more()
}

/** Reads to the end and says so. */
function receive(socket: Socket): void {
  socket.on('data', () => {})
  socket.on('end', () => socket.end('done'))
}
