import type { CompiledFilters, RequestHead } from '../compiled.ts'
import type { BodyLength, HeaderList } from '../exchange.ts'
import type { UpstreamHandler, UpstreamStream } from '../upstream.ts'
import type { BodyCopy } from './body.ts'
import { endpointsOf, pickHost, upstreamProtocol } from './choose.ts'
import type { Engine } from './engine.ts'
import type { Caller } from './forwarded.ts'
import { permitsBackend } from './permit.ts'

const nobody: ReadonlySet<never> = new Set()

/**
 * Starts the copies of a request that the mirrors of `filters` take. Their answers are thrown away; nothing here can delay, fail or
 * change the caller's request: copies are bounded in number, in time and in the bytes that wait for them.
 * @param head as it is after the filters that apply to the copies
 */
export function startMirrors(
  engine: Engine, filters: CompiledFilters, head: RequestHead, length: BodyLength, grpc: boolean, caller: Caller,
): readonly BodyCopy[] {
  const copies: BodyCopy[] = []
  for (const { target, take } of filters.mirrors) {
    if (!take()) continue
    // Who may not send a request there may not have a copy sent there either.
    const set = target.kind === 'service' && permitsBackend(engine, target, head, caller, grpc) ? endpointsOf(engine, target) : undefined
    const host = set && pickHost(engine, set, nobody)
    if (set === undefined || host === undefined || engine.usage.mirrors >= engine.limits.maxMirrors) {
      engine.telemetry.count('mirror-dropped')
      continue
    }
    try {
      const pool = host.pool(upstreamProtocol(set, head.version, grpc, false), caller)
      copies.push(startCopy(engine, length, (handler) =>
        pool.request(
          { method: head.method, scheme: head.scheme, authority: head.authority, target: head.path + head.query, headers: head.headers.slice(), length },
          handler,
        ),
      ))
      engine.telemetry.count('mirror')
    } catch {
      engine.telemetry.count('mirror-failed')
    }
  }
  return copies
}

function startCopy(engine: Engine, length: BodyLength, request: (handler: UpstreamHandler) => UpstreamStream): BodyCopy {
  let over = false
  let waitingBytes = 0
  let full = false
  const finish = (failed: boolean): void => {
    if (over) return
    over = true
    engine.usage.mirrors--
    cancel()
    if (failed) engine.telemetry.count('mirror-failed')
  }
  const abort = (): void => {
    if (over) return
    finish(true)
    stream.abort()
  }
  engine.usage.mirrors++
  const cancel = engine.clock.after(engine.limits.mirrorTimeoutMs, abort)
  const stream = request({
    onInformational: () => {},
    onHead: () => {},
    onData: () => {},
    onEnd: () => finish(false),
    onFailure: () => finish(true),
    onDrain: () => {
      full = false
      waitingBytes = 0
    },
    onUpgrade: (_headers, raw) => {
      raw.destroy()
      finish(true)
    },
  })
  return {
    write: (chunk) => {
      if (over) return
      if (full) waitingBytes += chunk.length
      if (waitingBytes > engine.limits.mirrorBytes) abort()
      else full = !stream.write(chunk)
    },
    end: (trailers: HeaderList) => {
      if (!over && length !== 0) stream.end(trailers)
    },
    abort,
  }
}
