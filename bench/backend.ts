import { createServer, type AddressInfo } from 'node:net'
import { runScript } from './children.ts'

/** The one answer of the backend. */
const answer = Buffer.from('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\r\nhello, world\n')
const endOfHead = Buffer.from('\r\n\r\n')

/** Answers every head that ends in `chunk` or began before it; requests have no bodies here. */
runScript(async () => {
  const server = createServer({ noDelay: true }, (socket) => {
    let rest = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      let from = 0
      for (let at = bytes.indexOf(endOfHead); at >= 0; at = bytes.indexOf(endOfHead, from)) {
        from = at + endOfHead.length
        socket.write(answer)
      }
      rest = bytes.subarray(from)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { port: (server.address() as AddressInfo).port }
})
