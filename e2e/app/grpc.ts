import { setTimeout as wait } from 'node:timers/promises'
import {
  Metadata, Server, ServerCredentials, status, type MethodDefinition, type sendUnaryData, type ServerDuplexStream, type ServerUnaryCall, type ServerWritableStream, type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { who } from './config.ts'

/** A message of the test service: whatever JSON can say. */
export type Message = Readonly<Record<string, unknown>>

const codec = {
  requestSerialize: (message: Message) => Buffer.from(JSON.stringify(message)),
  requestDeserialize: (bytes: Buffer) => JSON.parse(bytes.toString()) as Message,
  responseSerialize: (message: Message) => Buffer.from(JSON.stringify(message)),
  responseDeserialize: (bytes: Buffer) => JSON.parse(bytes.toString()) as Message,
}

const method = (name: string, requestStream: boolean, responseStream: boolean): MethodDefinition<Message, Message> => ({ path: `/e2e.Echo/${name}`, requestStream, responseStream, ...codec })

/** The service by its methods; messages are JSON, for the mesh does not read them. `Missing` has no implementation. */
export const echoService = {
  Say: method('Say', false, false),
  Fail: method('Fail', false, false),
  Missing: method('Missing', false, false),
  Stream: method('Stream', false, true),
  Chat: method('Chat', true, true),
} as const

/** What the kubelet's probes ask; the answer is always SERVING. Source: grpc.health.v1. */
const health = {
  Check: {
    path: '/grpc.health.v1.Health/Check', requestStream: false, responseStream: false,
    requestSerialize: () => Buffer.alloc(0), requestDeserialize: () => ({}), responseSerialize: () => Buffer.from([8, 1]), responseDeserialize: () => ({}),
  },
} as const satisfies Record<string, MethodDefinition<Message, Message>>

/** @param busy is told +1 and -1 as calls begin and end */
export async function startGrpc(port: number, busy: (change: 1 | -1) => void): Promise<{ readonly port: number; readonly end: (deadlineMs: number) => Promise<void> }> {
  const server = new Server({ 'grpc.max_concurrent_streams': 1_000 })
  const implementation: UntypedServiceImplementation = {
    Say: (call: ServerUnaryCall<Message, Message>, done: sendUnaryData<Message>) => {
      busy(1)
      const trailers = new Metadata()
      trailers.set('x-trailer', who.version)
      void wait(Number(call.request['delayMs'] ?? 0)).then(() => {
        busy(-1)
        done(null, { ...who, said: call.request, metadata: call.metadata.getMap() }, trailers)
      })
    },
    Fail: (call: ServerUnaryCall<Message, Message>, done: sendUnaryData<Message>) => {
      done({ code: (call.request['code'] ?? status.INTERNAL) as status, details: 'as asked' })
    },
    Stream: (call: ServerWritableStream<Message, Message>) => {
      busy(1)
      void (async () => {
        for (let at = 0; at < Number(call.request['count'] ?? 3) && !call.cancelled; at++) {
          call.write({ ...who, at })
          await wait(Number(call.request['everyMs'] ?? 5))
        }
        call.end()
        busy(-1)
      })()
    },
    Chat: (call: ServerDuplexStream<Message, Message>) => {
      busy(1)
      call.on('data', (message: Message) => call.write({ ...who, said: message }))
      call.on('end', () => call.end())
      call.on('close', () => busy(-1))
      call.on('error', () => {})
    },
  }
  const { Missing, ...served } = echoService
  server.addService(served, implementation)
  server.addService(health, { Check: (_call: ServerUnaryCall<Message, Message>, done: sendUnaryData<Message>) => done(null, {}) })
  if (Missing.path in served) throw new Error('a method without an implementation is not served')
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`0.0.0.0:${port}`, ServerCredentials.createInsecure(), (error, at) => {
      if (error === null) resolve(at)
      else reject(error)
    })
  })
  return {
    port: bound,
    end: async (deadlineMs) => {
      const ended = new Promise<void>((resolve) => server.tryShutdown(() => resolve()))
      await Promise.race([ended, wait(deadlineMs, undefined, { ref: false })])
      server.forceShutdown()
    },
  }
}
