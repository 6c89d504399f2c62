import assert from 'node:assert/strict'
import type { BodyReader, IncomingBody } from '../exchange.ts'
import { RequestBody, type BodySink } from './body.ts'
import { newUsage, type Usage } from './engine.ts'

interface Source extends IncomingBody {
  reader: BodyReader | undefined
  paused: boolean
}

function source(length: number | undefined): Source {
  const self: Source = {
    length,
    reader: undefined,
    paused: false,
    start: (reader) => { self.reader = reader },
    pause: () => { self.paused = true },
    resume: () => { self.paused = false },
  }
  return self
}

function sink(more = true): BodySink & { readonly got: string[] } {
  const got: string[] = []
  return {
    got,
    write: (chunk) => {
      got.push(chunk.toString())
      return more
    },
    end: (trailers) => void got.push(`end ${trailers.join()}`),
  }
}

describe('a request body', () => {
  let usage: Usage
  beforeEach(() => {
    usage = newUsage()
  })
  const body = (from: IncomingBody, total = 1000) => new RequestBody(from, { replayBytes: 10, totalReplayBytes: total, usage, onAbort: () => {} })

  it('goes to a second try from its beginning, and on from there', () => {
    const from = source(undefined)
    const request = body(from)
    const [first, second] = [sink(), sink()]
    request.attach(first)
    from.reader?.onData(Buffer.from('one'))
    request.detach()
    assert.equal(from.paused, true)
    from.reader?.onData(Buffer.from('two'))
    request.attach(second)
    assert.equal(from.paused, false)
    from.reader?.onData(Buffer.from('three'))
    from.reader?.onEnd(['x-sum', '1'])
    assert.deepEqual(first.got, ['one'])
    assert.deepEqual(second.got, ['one', 'two', 'three', 'end x-sum,1'])
  })

  it('ends again for a try that follows its end', () => {
    const from = source(3)
    const request = body(from)
    request.attach(sink())
    from.reader?.onData(Buffer.from('one'))
    from.reader?.onEnd([])
    request.detach()
    const second = sink()
    request.attach(second)
    assert.deepEqual(second.got, ['one', 'end '])
  })

  it('can not be repeated once it outgrew the buffer, the whole buffer of the process, or its answer began', () => {
    const large = body(source(undefined))
    const from = source(undefined)
    const outgrown = body(from)
    outgrown.attach(sink())
    from.reader?.onData(Buffer.alloc(10))
    assert.equal(outgrown.canReplay(), true)
    assert.equal(usage.replayBytes, 10)
    from.reader?.onData(Buffer.alloc(1))
    assert.equal(outgrown.canReplay(), false)
    assert.equal(usage.replayBytes, 0)

    const crowded = source(undefined)
    const second = body(crowded, 5)
    second.attach(sink())
    crowded.reader?.onData(Buffer.alloc(6))
    assert.equal(second.canReplay(), false)

    large.release()
    assert.equal(large.canReplay(), false)
  })

  it('of length 0 can always be repeated', () => {
    const request = body(source(0))
    request.attach(sink())
    request.release()
    assert.equal(request.canReplay(), true)
  })

  it('stands still while its sink is full', () => {
    const from = source(undefined)
    const request = body(from)
    request.attach(sink(false))
    from.reader?.onData(Buffer.from('x'))
    assert.equal(from.paused, true)
    request.resume()
    assert.equal(from.paused, false)
  })

  it('gives its memory back when the exchange is over, and tells its copies', () => {
    const from = source(undefined)
    const request = body(from)
    const copied: string[] = []
    request.copyTo([{ write: (chunk) => void copied.push(chunk.toString()), end: () => void copied.push('end'), abort: () => void copied.push('abort') }])
    request.attach(sink())
    from.reader?.onData(Buffer.from('one'))
    request.stop()
    assert.equal(usage.replayBytes, 0)
    from.reader?.onData(Buffer.from('late'))
    assert.deepEqual(copied, ['one', 'abort'])
  })
})
