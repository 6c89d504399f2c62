import { createSecureContext } from 'node:tls'
import type { SecureContext, SecureContextOptions, Server, TlsOptions } from 'node:tls'
import { constants } from 'node:crypto'
import type { CredentialSource, Credentials } from '../model/credentials.ts'
import { parseTrustBundle } from './svid.ts'
import type { TrustBundle } from './svid.ts'

/** AES-GCM first: it runs on the processor's own instructions. */
const ciphers = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256'

/**
 * TLS of the mesh: 1.3 only, our certificate, every root of the bundle.
 * No session tickets: a resumed session never looks at the certificate again, so it would outlive an expiry or a retired root.
 */
export function contextOptions(credentials: Credentials): SecureContextOptions {
  return {
    cert: credentials.certificateChainPem,
    key: credentials.privateKeyPem,
    ca: [...credentials.trustBundlePem],
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ciphers,
    honorCipherOrder: true,
    // OpenSSL keeps the state of ticket-less sessions on the server, and Node answers none without a `resumeSession` listener.
    secureOptions: constants.SSL_OP_NO_TICKET,
    sessionIdContext: 'waymark',
  }
}

/** Options of `tls.createServer`: as `contextOptions`, and the client must show a certificate of the bundle. */
export function serverOptions(credentials: Credentials, handshakeTimeoutMs: number): TlsOptions {
  return { ...contextOptions(credentials), ...listenerOptions(handshakeTimeoutMs) }
}

/** The same without credentials, for a server that gets them by `useContext`. */
export function listenerOptions(handshakeTimeoutMs: number): TlsOptions {
  return {
    requestCert: true,
    rejectUnauthorized: true,
    ALPNProtocols: ['h2'],
    handshakeTimeout: handshakeTimeoutMs,
  }
}

/** Where Node keeps the context of a TLS server's connections. */
interface ContextHolder {
  _sharedCreds?: SecureContext
}

/**
 * Gives a TLS server the context of `credentials`, for connections from now on. `setSecureContext` would build one for each server: 33 KB, and the
 * time of a handshake, for each pod of a node.
 */
export function useContext(server: Server, credentials: Credentials): void {
  const holder = server as ContextHolder
  if (holder._sharedCreds === undefined) server.setSecureContext(contextOptions(credentials))
  else holder._sharedCreds = contextOf(credentials).context
}

/** What a client needs for one connection. */
export interface ClientContext {
  readonly credentials: Credentials
  readonly context: SecureContext
  readonly bundle: TrustBundle
}

const contexts = new WeakMap<Credentials, ClientContext>()

/** Built once for each set of credentials, since building costs as much as a handshake, and shared by every client and server of theirs. */
function contextOf(credentials: Credentials): ClientContext {
  let context = contexts.get(credentials)
  if (context === undefined) {
    context = {
      credentials,
      context: createSecureContext(contextOptions(credentials)),
      bundle: parseTrustBundle(credentials.trustBundlePem),
    }
    contexts.set(credentials, context)
  }
  return context
}

/** Gives the client context of the present credentials. */
export function clientContexts(source: CredentialSource): () => ClientContext {
  return () => contextOf(source.current())
}
