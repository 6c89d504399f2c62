import { Agent, request as httpRequest } from 'node:http'
import { performance } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import type { Echo, Reply, RequestsSpec, UntilResult, UntilSpec } from '../protocol.ts'
import { proxyOf } from './proxy.ts'

/** Kept-alive connections, to the proxies or straight. */
const agent = new Agent({ keepAlive: true, maxSockets: 256, scheduling: 'lifo' })

/** Never fails: what went wrong is in the reply. */
export async function request(spec: RequestsSpec): Promise<Reply> {
  const start = performance.now()
  const proxy = proxyOf(spec.via)
  const url = new URL(spec.url)
  const headers: Record<string, string | readonly string[]> = { host: url.host, ...spec.headers }
  if (spec.body !== undefined) headers['content-length'] = String(Buffer.byteLength(spec.body))
  const place = proxy === undefined
    ? { host: url.hostname, port: url.port === '' ? 80 : Number(url.port), path: `${url.pathname}${url.search}` }
    : { ...proxy, path: spec.url }
  return new Promise((resolve) => {
    const done = (reply: Omit<Reply, 'ms'>): void => resolve({ ...reply, ms: Math.round((performance.now() - start) * 100) / 100 })
    const sent = httpRequest({ agent: spec.fresh === true ? false : agent, ...place, method: spec.method ?? 'GET', setHost: false, headers: headers as Record<string, string | string[]> })
    const timer = setTimeout(() => sent.destroy(new Error(`no answer within ${spec.timeoutMs ?? 15_000} ms`)), spec.timeoutMs ?? 15_000)
    sent.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      if (spec.resend === true && sent.reusedSocket && error.code === 'ECONNRESET') {
        void request({ ...spec, resend: false }).then((reply) => done({ ...reply, resent: true }))
        return
      }
      done({ status: 0, error: error.code === undefined ? error.message : `${error.code}: ${error.message}` })
    })
    sent.on('response', (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('error', (error) => {
        clearTimeout(timer)
        done({ status: 0, error: `answer ${answer.statusCode ?? 0} was cut: ${error.message}` })
      })
      answer.on('end', () => {
        clearTimeout(timer)
        const distinct: Record<string, readonly string[]> = {}
        for (const [name, values] of Object.entries(answer.headersDistinct)) distinct[name] = values ?? []
        done(replyOf(answer.statusCode ?? 0, distinct, Buffer.concat(chunks).toString(), spec.brief === true))
      })
    })
    sent.end(spec.body)
  })
}

function replyOf(status: number, headers: Readonly<Record<string, readonly string[]>>, body: string, brief: boolean): Omit<Reply, 'ms'> {
  const reason = headers['x-waypoint-reason']?.[0]
  const echo = echoIn(headers['content-type']?.[0], body)
  return {
    status,
    ...(reason === undefined ? {} : { reason }),
    ...(echo === undefined ? {} : { pod: echo.pod, version: echo.version }),
    ...(brief ? {} : { headers, body, ...(echo === undefined ? {} : { echo }) }),
  }
}

function echoIn(type: string | undefined, body: string): Echo | undefined {
  if (type !== 'application/json') return undefined
  try {
    const value = JSON.parse(body) as Partial<Echo>
    return value.pod === undefined ? undefined : (value as Echo)
  } catch {
    return undefined
  }
}

/** @returns a reply for each request, in the order in which they were begun */
export async function requests(spec: RequestsSpec): Promise<readonly Reply[]> {
  const { count = 1, concurrency = 1 } = spec
  const replies: Reply[] = []
  let next = 0
  await Promise.all(
    Array.from({ length: Math.min(concurrency, count) }, async () => {
      for (let at = next++; at < count; at = next++) replies[at] = await request(spec)
    }),
  )
  return replies
}

/** @param stopped ends it early */
export async function until(spec: UntilSpec, stopped: AbortSignal): Promise<UntilResult> {
  const deadline = performance.now() + (spec.withinMs ?? 30_000)
  for (let asked = 1; ; asked++) {
    const reply = await request(spec)
    if (holds(spec, reply)) return { held: true, asked, reply }
    if (performance.now() > deadline || stopped.aborted) return { held: false, asked, reply }
    await wait(spec.everyMs ?? 5)
  }
}

function holds(spec: UntilSpec, reply: Reply): boolean {
  if (spec.status !== undefined && reply.status !== spec.status) return false
  if (spec.version !== undefined && reply.version !== spec.version) return false
  if (spec.header !== undefined && reply.headers?.[spec.header.name]?.[0] !== spec.header.value) return false
  if (spec.podOtherThan !== undefined && (reply.pod === undefined || spec.podOtherThan.includes(reply.pod))) return false
  if (spec.byWaypoint === true && (reply.status === 0 || (reply.echo !== undefined && !('x-forwarded-client-cert' in reply.echo.headers)))) return false
  return spec.reasonOtherThan === undefined || (reply.status > 0 && !spec.reasonOtherThan.includes(reply.reason ?? ''))
}
