import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { NetworkError } from '../network.ts'
import { libc } from './libc.ts'
import type { Namespace } from './namespace.ts'
import { bindSocket, dialSocket, originalDestination } from './sockets.ts'

/** The namespace that this process is in: entering another one needs rights that tests do not have. */
const here: Namespace = { inode: 0, run: (work) => work(), close: () => {} }

describe('sockets', () => {
  const servers: Server[] = []
  const accepted: Socket[] = []
  const listening = async (port = 0): Promise<{ readonly server: Server; readonly port: number }> => {
    const server = createServer({ allowHalfOpen: true })
    servers.push(server)
    server.on('connection', (socket) => accepted.push(socket))
    await once(server.listen({ fd: bindSocket(here, port) }, 4096), 'listening')
    return { server, port: (server.address() as AddressInfo).port }
  }
  afterEach(() => {
    for (const socket of accepted.splice(0)) socket.destroy()
    return Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))))
  })

  it('are bound for both families, and shared by those who take over', async () => {
    const { server, port } = await listening()
    await listening(port)
    assert.equal((server.address() as AddressInfo).family, 'IPv6')
    for (const host of ['127.0.0.1', '::1']) {
      const socket = connect({ host, port })
      await once(socket, 'connect')
      socket.destroy()
    }
  })

  it('say which port is taken', async () => {
    const other = createServer()
    servers.push(other)
    await once(other.listen(0, '::'), 'listening')
    const { port } = other.address() as AddressInfo
    assert.throws(() => bindSocket(here, port), { name: 'NetworkError', code: 'EADDRINUSE', syscall: `bind [::]:${port}` })
  })

  it('connect, carry bytes both ways, and close by halves', async () => {
    const { server, port } = await listening()
    server.on('connection', (socket) => {
      socket.on('data', (data: Buffer) => socket.write(data))
      socket.on('end', () => socket.end('end'))
    })
    for (const host of ['127.0.0.1', '::1']) {
      // Without a mark: setting one needs rights.
      const socket = dialSocket({ ...here }, 0, { host, port })
      socket.end('hello ')
      let got = ''
      for await (const data of socket) got += String(data)
      assert.equal(got, 'hello end')
    }
  })

  it('that can not be made fail as those that can not connect', async () => {
    const { server, port } = await listening()
    server.close()
    const failure = async (socket: Socket): Promise<unknown> => ((await once(socket, 'close').then(() => [undefined], (error: unknown) => [error])) as [{ code?: string } | undefined])[0]?.code
    assert.equal(await failure(dialSocket(here, 0, { host: '127.0.0.1', port })), 'ECONNREFUSED')
    assert.equal(await failure(dialSocket(here, 0, { host: '127.0.0.1', port: 1, from: '::1' })), 'EINVAL')
    const gone: Namespace = { ...here, run: () => {
      throw new NetworkError('EBADF', 'setns')
    } }
    assert.equal(await failure(dialSocket(gone, 0, { host: '127.0.0.1', port })), 'EBADF')
    const [error] = (await once(dialSocket(here, 0, { host: 'localhost', port }), 'close').catch((failed: unknown) => [failed])) as [Error]
    assert.match(error.message, /not an IP address/)
  })

  it('that nobody redirected were going nowhere else', async () => {
    const { server, port } = await listening()
    const connection = once(server, 'connection') as Promise<[Socket]>
    const client = connect({ host: '127.0.0.1', port })
    const [socket] = await connection
    assert.equal(originalDestination(socket), undefined)
    client.destroy()
    socket.destroy()
    assert.equal(originalDestination(socket), undefined)
  })

  it('system calls name their error', () => {
    assert.throws(() => libc.close(-1), { code: 'EBADF' })
    assert.throws(() => libc.socket(99, 1), { code: 'EAFNOSUPPORT' })
  })
})
