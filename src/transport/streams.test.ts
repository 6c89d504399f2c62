import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type ServerHttp2Session } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { holdStreamsLightly } from './streams.ts'

/** A stream leaves the table a moment after its end was read. */
async function empty(size: () => number): Promise<void> {
  for (let turn = 0; turn < 500 && size() !== 0; turn++) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.equal(size(), 0)
}

describe('streams that are held lightly', () => {
  it('are found, answered and forgotten as with Node\'s own table, and end with their session', async () => {
    let served: ServerHttp2Session | undefined
    let table: { readonly constructor: { readonly name: string }; readonly size: number } | undefined
    const tableOf = (session: object): typeof table => {
      const key = Object.getOwnPropertySymbols(session).find(({ description }) => description === 'state')
      return key === undefined ? undefined : (session as Record<symbol, { readonly streams: typeof table }>)[key]?.streams
    }
    const server = createServer()
    server.on('session', (session) => {
      holdStreamsLightly(session)
      served = session
      table = tableOf(session)
    })
    server.on('stream', (stream, headers) => {
      stream.on('error', () => {})
      stream.respond({ ':status': 200 })
      if (headers[':path'] !== '/stay') stream.end(headers[':path'])
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    client.on('error', () => {})
    holdStreamsLightly(client)
    // That Node has not changed how it keeps them: else nothing would be gained.
    assert.equal(tableOf(client)?.constructor.name, 'StreamTable')
    const ask = async (path: string): Promise<string> => {
      const stream = client.request({ ':path': path })
      let text = ''
      for await (const chunk of stream) text += String(chunk)
      return text
    }
    const paths = Array.from({ length: 100 }, (_, index) => `/${index}`)
    assert.deepEqual(await Promise.all(paths.map(ask)), paths)
    assert.equal(table?.constructor.name, 'StreamTable')
    await empty(() => (table?.size ?? -1) + (tableOf(client)?.size ?? -1))

    const staying = [client.request({ ':path': '/stay' }), client.request({ ':path': '/stay' })]
    await Promise.all(staying.map((stream) => once(stream.on('error', () => {}), 'response')))
    assert.equal(table.size, 2)
    const ends = Promise.all(staying.map((stream) => new Promise((resolve) => stream.once('close', resolve))))
    // Streams keep a session that closes; one that is destroyed takes them along.
    served?.close()
    assert.equal(await ask('/late').catch(() => 'refused'), 'refused')
    assert.equal(served?.destroyed, false)
    client.destroy(new Error('over'))
    await ends
    await empty(() => tableOf(client)?.size ?? -1)
    await new Promise((resolve) => server.close(resolve))
  })
})
