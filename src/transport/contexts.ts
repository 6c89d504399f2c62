import { createSecureContext } from 'node:tls'
import type { SecureContext, SecureContextOptions, TlsOptions } from 'node:tls'
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
  }
}

/** Options of `tls.createServer`: as `contextOptions`, and the client must show a certificate of the bundle. */
export function serverOptions(credentials: Credentials, handshakeTimeoutMs: number): TlsOptions {
  return {
    ...contextOptions(credentials),
    requestCert: true,
    rejectUnauthorized: true,
    ALPNProtocols: ['h2'],
    handshakeTimeout: handshakeTimeoutMs,
  }
}

/** What a client needs for one connection. */
export interface ClientContext {
  readonly credentials: Credentials
  readonly context: SecureContext
  readonly bundle: TrustBundle
}

const contexts = new WeakMap<Credentials, ClientContext>()

/**
 * Gives the client context of the present credentials; built once for each set of credentials, since building costs as much
 * as a handshake, and shared by every client of theirs.
 */
export function clientContexts(source: CredentialSource): () => ClientContext {
  return () => {
    const credentials = source.current()
    let present = contexts.get(credentials)
    if (present === undefined) {
      present = {
        credentials,
        context: createSecureContext(contextOptions(credentials)),
        bundle: parseTrustBundle(credentials.trustBundlePem),
      }
      contexts.set(credentials, present)
    }
    return present
  }
}
