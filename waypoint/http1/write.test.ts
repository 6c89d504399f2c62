import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { MessageWriter, responseHead } from './write.ts'

interface Written {
  readonly writer: MessageWriter
  /** What was written, and in how many writes. */
  readonly pieces: string[]
}

function open(): Written {
  const stream = new PassThrough({ highWaterMark: 1 << 30 })
  const pieces: string[] = []
  stream.on('data', (chunk: Buffer) => pieces.push(chunk.toString('latin1')))
  return { writer: new MessageWriter(stream), pieces }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const head = responseHead(200, ['a', 'b'], undefined, true)

describe('writing messages', () => {
  it('puts head, small chunks and end of one turn into one write', async () => {
    const { writer, pieces } = open()
    writer.begin(head, undefined, true)
    writer.data(Buffer.from('one'))
    writer.data(Buffer.from('two'))
    writer.end(undefined)
    await turn()
    assert.deepEqual(pieces, [`${head.text}3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n`])
  })

  it('keeps messages apart that are written in the same turn, whatever their sizes and order', async () => {
    const step = fc.tuple(fc.nat(2), fc.constantFrom(0, 1, 10, 3000, 8192, 8193, 40_000))
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.boolean(), async (steps, chunked) => {
        const ends = [open(), open(), open()]
        const expected = ends.map(() => [head.text])
        for (const { writer } of ends) writer.begin(head, chunked ? undefined : 1e9, chunked)
        for (const [i, [to, size]] of steps.entries()) {
          const text = String.fromCharCode(97 + (i % 26)).repeat(size)
          ends[to]?.writer.data(Buffer.from(text))
          if (size > 0) expected[to]?.push(chunked ? `${size.toString(16)}\r\n${text}\r\n` : text)
          if (i % 7 === 6) await turn()
        }
        if (chunked) {
          for (const [to, { writer }] of ends.entries()) {
            writer.end(to === 1 ? ['x-t', 'y'] : undefined)
            expected[to]?.push(to === 1 ? '0\r\nx-t: y\r\n\r\n' : '0\r\n\r\n')
          }
        }
        await turn()
        assert.deepEqual(ends.map(({ pieces }) => pieces.join('')), expected.map((each) => each.join('')))
      }),
      { numRuns: 100 },
    )
  })

  it('does not copy a large piece', () => {
    const stream = new PassThrough()
    const written: unknown[] = []
    stream.write = (chunk: unknown) => written.push(chunk) > 0
    const writer = new MessageWriter(stream)
    const piece = Buffer.alloc(100_000)
    writer.begin(responseHead(200, [], piece.length, false), piece.length, false)
    writer.data(piece)
    assert.ok(written.includes(piece))
  })
})
