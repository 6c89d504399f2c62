import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { hasUnsent } from './tcp.ts'

const header = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n'
const line = (state: string, queue: string, repeats = '00000000'): string => `   0: 0100007F:3A99 0100007F:C350 ${state} ${queue}:00000000 01:00000019 ${repeats}     0        0 0 2 0000000000000000 20 4 30 10 -1\n`

describe('sockets with something to send', () => {
  it('are those that are closed on this side, and not acknowledged', () => {
    assert.equal(hasUnsent(header), false)
    for (const state of ['04', '09', '0B']) {
      assert.equal(hasUnsent(header + line('01', '00001000') + line(state, '00000001')), true)
      assert.equal(hasUnsent(header + line(state, '00000000')), false)
    }
    // Open, waiting for the other side, over, listening.
    for (const state of ['01', '05', '06', '08', '0A']) assert.equal(hasUnsent(header + line(state, '00000001')), false)
  })

  it('are not those whose peer has not answered for several times', () => {
    for (const [repeats, unsent] of [['00000005', true], ['00000006', false], ['0000000F', false], ['00000010', false]] as const) assert.equal(hasUnsent(header + line('04', '00000001', repeats)), unsent)
  })

  it('are seen while somebody reads slowly, as the kernel tells of them', async () => {
    let accepted: Socket | undefined
    const server = createServer({ pauseOnConnect: true }, (socket) => { accepted = socket })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const own = port.toString(16).toUpperCase().padStart(4, '0')
    // Of this connection alone: others have the machine, too.
    const unsent = (): boolean => hasUnsent(readFileSync('/proc/self/net/tcp', 'latin1').split('\n').filter((each) => each.includes(`:${own} `)).join('\n'))
    const until = async (wanted: boolean): Promise<void> => {
      for (let turn = 0; turn < 1_000 && unsent() !== wanted; turn++) await new Promise((resolve) => setTimeout(resolve, 5))
      assert.equal(unsent(), wanted)
    }
    const socket = connect(port, '127.0.0.1')
    try {
      await new Promise((resolve) => socket.once('connect', resolve))
      assert.equal(unsent(), false)
      socket.end(Buffer.alloc(32 * 1024 * 1024))
      await new Promise((resolve) => setTimeout(resolve, 50))
      assert.equal(unsent(), false)
      // Read piece by piece, so that the buffers of both sides are full when the kernel has taken the rest.
      for (let turn = 0; turn < 10_000 && !socket.writableFinished; turn++) {
        accepted?.read()
        await new Promise((resolve) => setImmediate(resolve))
      }
      assert.ok(socket.writableFinished)
      await until(true)
      accepted?.resume()
      await until(false)
    } finally {
      accepted?.destroy()
      socket.destroy()
      server.close()
    }
  })
})
