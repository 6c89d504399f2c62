import type { Identity } from './identity.ts'

/** What a process needs to speak mesh mTLS as one identity. */
export interface Credentials {
  readonly identity: Identity
  /** The SVID and any intermediates, leaf first, PEM. */
  readonly certificateChainPem: string
  /** PKCS#8 PEM. */
  readonly privateKeyPem: string
  /** Every root that is trusted now, PEM: one while nothing rotates, two or more during a rotation. */
  readonly trustBundlePem: readonly string[]
  /**
   * A secret that the CA gives to every process of this identity and to no other, base64, 32 bytes: what one replica sealed with it, the
   * others can open. It changes with the root that signs.
   */
  readonly sharedSecret?: string
  /** Milliseconds since the epoch. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/** Where a process finds its present credentials; they change under it at each renewal and each root rotation. */
export interface CredentialSource {
  readonly identity: Identity
  /** @throws if none were ever obtained */
  readonly current: () => Credentials
  /** Calls `listener` after each change; the answer stops that. */
  readonly onChange: (listener: (credentials: Credentials) => void) => () => void
}

/** What a CA answers to a request for an SVID: credentials without the private key, which never leaves its process. */
export type Issued = Omit<Credentials, 'identity' | 'privateKeyPem'>
