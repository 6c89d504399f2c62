import type { Duplex } from 'node:stream'
import type { Issued } from '../model/credentials.ts'
import { isTrustDomain, type Identity } from '../model/identity.ts'
import type { Publisher, Subscription } from './publisher.ts'
import { createWire, type ClientMessage, type ServerMessage } from './wire.ts'

export interface SubscriberServerOptions {
  readonly publisher: Publisher
  readonly issue: (identity: Identity, publicKeyPem: string) => Promise<Issued>
  readonly onBundleChange: (listener: (trustBundlePem: readonly string[]) => void) => () => void
  /** Whether whoever holds this stream may act as `identity`; a string says why not. */
  readonly authorize: (identity: Identity) => true | string
}

/** Serves one data plane process over `stream`: configuration, certificates and the trust bundle. Returns when it is gone. */
export async function serveSubscriber(stream: Duplex, options: SubscriberServerOptions): Promise<void> {
  const wire = createWire<ClientMessage, ServerMessage>(stream)
  let identity: Identity | undefined
  let subscription: Subscription | undefined
  let stopBundles: () => void = () => {}

  const hello = (message: Extract<ClientMessage, { type: 'hello' }>): void => {
    const asked = message.identity
    const refusal = checkHello(message) ?? options.authorize(asked)
    if (refusal !== true) { wire.end({
      type: 'refused', message: refusal })
      return
    }
    identity = asked
    stopBundles = options.onBundleChange((trustBundlePem) => wire.send({ type: 'bundle', trustBundlePem }))
    let fresh = true
    subscription = options.publisher.subscribe(message.subscriber, (update) => {
      wire.send({ type: 'update', fresh, ...update })
      fresh = false
    })
  }

  const sign = async (id: number, publicKeyPem: string): Promise<void> => {
    if (identity === undefined) { wire.end({
      type: 'refused', message: 'a stream begins with hello' })
      return
    }
    try {
      wire.send({ type: 'signed', id, issued: await options.issue(identity, publicKeyPem) })
    } catch (error) {
      wire.send({ type: 'sign-failed', id, message: error instanceof Error ? error.message : String(error) })
    }
  }

  wire.onMessage((message) => {
    switch (message.type) {
      case 'hello':
        if (identity !== undefined) { wire.end({
          type: 'refused', message: 'one hello a stream' })
          return
        }
        {
          hello(message)
          return
        }
      case 'ack':
        return subscription?.acknowledge(message.version)
      case 'sign':
        void sign(message.id, message.publicKeyPem)
    }
  })
  await wire.closed
  stopBundles()
  subscription?.close()
}

/** Nothing on the stream is believed to have the right shape. */
function checkHello({ identity, subscriber }: Extract<ClientMessage, { type: 'hello' }>): string | undefined {
  const text = [identity.trustDomain, identity.namespace, identity.serviceAccount, subscriber.namespace]
  if (!text.every((each) => typeof each === 'string' && each !== '') || !isTrustDomain(identity.trustDomain)) return 'hello lacks an identity'
  return subscriber.namespace === identity.namespace ? undefined : `an identity of ${identity.namespace} may not have the configuration of ${subscriber.namespace}`
}
