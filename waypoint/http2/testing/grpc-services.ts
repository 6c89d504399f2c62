import { makeGenericClientConstructor, Metadata, Server, ServerCredentials, credentials, status } from '@grpc/grpc-js'
import type { ChannelOptions, Client, handleBidiStreamingCall, handleClientStreamingCall, handleServerStreamingCall, handleUnaryCall, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js'

const asIs = (value: Buffer): Buffer => value

const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/test.Echo/${name}`, requestStream, responseStream,
  requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs, responseDeserialize: asIs,
})

/** A service of raw bytes, one method for each form of streaming, without a proto file. */
export const echoService = {
  Unary: method('Unary', false, false),
  Collect: method('Collect', true, false),
  Repeat: method('Repeat', false, true),
  Chat: method('Chat', true, true),
} satisfies ServiceDefinition

/** What a test's server does; methods left out answer UNIMPLEMENTED. */
export interface EchoHandlers extends UntypedServiceImplementation {
  Unary: handleUnaryCall<Buffer, Buffer>
  Collect: handleClientStreamingCall<Buffer, Buffer>
  Repeat: handleServerStreamingCall<Buffer, Buffer>
  Chat: handleBidiStreamingCall<Buffer, Buffer>
}

/** Starts a gRPC server on a free loopback port. */
export async function startEcho(handlers: Partial<EchoHandlers>, options: ChannelOptions = {}): Promise<{ readonly port: number; readonly server: Server }> {
  const server = new Server({ 'grpc.max_receive_message_length': -1, ...options })
  server.addService(echoService, handlers as EchoHandlers)
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound)
      else reject(error)
    })
  })
  return { port, server }
}

const EchoClient = makeGenericClientConstructor(echoService, 'Echo')

/** A gRPC client with one connection of its own. */
export function echoClient(port: number, options: ChannelOptions = {}): Client {
  return new EchoClient(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.use_local_subchannel_pool': 1,
    ...options,
  })
}

/** Result of a call: message and trailers, or the error with its code. */
export interface CallResult {
  readonly code: number
  readonly details: string
  readonly message: Buffer | undefined
  readonly header: Metadata | undefined
  readonly trailer: Metadata
}

/** Makes one unary call and waits for its status. */
export function callUnary(client: Client, message: Buffer, metadata = new Metadata(), options: { deadline?: number } = {}): Promise<CallResult> {
  return new Promise((resolve) => {
    let got: Buffer | undefined
    let header: Metadata | undefined
    const call = client.makeUnaryRequest(echoService.Unary.path, asIs, asIs, message, metadata, options, (_error, value) => {
      got = value
    })
    call.on('metadata', (value) => {
      header = value
    })
    call.on('status', (value) => {
      setImmediate(() => resolve({ code: value.code, details: value.details, message: got, header, trailer: value.metadata }))
    })
  })
}

export { Metadata, status }
