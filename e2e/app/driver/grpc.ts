import { performance } from 'node:perf_hooks'
import { Client, credentials, Metadata, type CallOptions, type MethodDefinition, type ServiceError } from '@grpc/grpc-js'
import { echoService, type Message } from '../grpc.ts'
import type { GrpcReply, GrpcSpec } from '../protocol.ts'
import { proxyOf } from './proxy.ts'

/** All calls go over one connection, which the real client library makes, through the proxy's CONNECT. */
export async function grpc(spec: GrpcSpec): Promise<readonly GrpcReply[]> {
  const proxy = proxyOf(spec.via)
  const client = new Client(proxy === undefined ? spec.target : `ipv4:${proxy.host}:${proxy.port}`, credentials.createInsecure(), {
    ...(proxy === undefined ? {} : { 'grpc.http_connect_target': `dns:${spec.target}`, 'grpc.default_authority': spec.target }),
    'grpc.enable_http_proxy': 0,
    // What is tested is the mesh's behaviour, not the library's own retries.
    'grpc.enable_retries': 0,
    'grpc.use_local_subchannel_pool': 1,
  })
  try {
    const { count = 1, concurrency = 1 } = spec
    const replies: GrpcReply[] = []
    let next = 0
    await Promise.all(
      Array.from({ length: Math.min(concurrency, count) }, async () => {
        for (let at = next++; at < count; at = next++) replies[at] = await one(client, spec)
      }),
    )
    return replies
  } finally {
    client.close()
  }
}

async function one(client: Client, spec: GrpcSpec): Promise<GrpcReply> {
  const start = performance.now()
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(spec.metadata ?? {})) metadata.set(name, value)
  const options: CallOptions = { deadline: Date.now() + (spec.deadlineMs ?? 15_000) }
  const method: MethodDefinition<Message, Message> = echoService[spec.method]
  const { path, requestSerialize, responseDeserialize } = method
  const message = spec.message ?? {}
  return new Promise((resolve) => {
    const messages: Message[] = []
    let headers: Record<string, string> | undefined
    const finish = (status: { readonly code: number; readonly details: string; readonly metadata: Metadata }): void => {
      const [first] = messages
      resolve({
        code: status.code,
        ms: Math.round((performance.now() - start) * 100) / 100,
        ...(status.details === '' ? {} : { details: status.details }),
        ...(first === undefined ? {} : { pod: String(first['pod']), version: String(first['version']), messages }),
        ...(headers === undefined ? {} : { metadata: headers }),
        trailers: texts(status.metadata),
      })
    }
    if (!method.requestStream && !method.responseStream) {
      const call = client.makeUnaryRequest(path, requestSerialize, responseDeserialize, message, metadata, options, (_error: ServiceError | null, answer?: Message) => {
        if (answer !== undefined) messages.push(answer)
      })
      call.on('metadata', (got) => (headers = texts(got)))
      call.on('status', (status) => setImmediate(finish, status))
      return
    }
    const dialogue = method.requestStream ? client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata, options) : undefined
    const call = dialogue ?? client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, message, metadata, options)
    // A dialogue: each message waits for the echo of the one before.
    let said = 0
    const sendNext = (): void => {
      if (said < Number(message['count'] ?? 3)) dialogue?.write({ ...message, at: said++ })
      else dialogue?.end()
    }
    call.on('metadata', (got) => (headers = texts(got)))
    call.on('data', (got: Message) => {
      messages.push(got)
      sendNext()
    })
    call.on('error', () => {})
    call.on('status', (status) => setImmediate(finish, status))
    sendNext()
  })
}

function texts(metadata: Metadata): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata.getMap()).map(([name, value]) => [name, value.toString()]))
}
