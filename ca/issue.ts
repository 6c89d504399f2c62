import { createPublicKey } from 'node:crypto'
import type { Identity } from '../src/model/identity.ts'
import { formatSpiffeId, parseSpiffeId, sameIdentity } from '../src/model/identity.ts'
import { authorityKeyIdentifier, bothTlsUsages, emptyName, endEntityConstraints, keyIdentifier, keyUsage, makeCertificate, subjectKeyIdentifier, uriName } from './certificate.ts'
import { CaError } from './errors.ts'
import type { Authority } from './root.ts'

export interface SvidRequest {
  readonly identity: Identity
  /** SubjectPublicKeyInfo of a P-256 key, DER: `readPublicKey` checks it. */
  readonly publicKey: Uint8Array
  /** Milliseconds since the epoch; whole seconds count. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** Big-endian, unsigned, at most 19 bytes or 20 with the first bit 0. */
  readonly serial: Uint8Array
}

/** Bytes of a P-256 SubjectPublicKeyInfo with a named curve and an uncompressed point: the one form that every verifier reads. */
const p256SpkiBytes = 91

/**
 * Makes an SVID, DER. Everything in it comes from the arguments; only the signature's own nonce is random.
 * @throws {CaError} `bad-identity` if the identity can not be written as a SPIFFE id
 * Source: X509-SVID §2 to §4.
 */
export function issueSvid(authority: Authority, request: SvidRequest): Buffer {
  const uri = formatSpiffeId(request.identity)
  const readBack = parseSpiffeId(uri)
  if (readBack === undefined || !sameIdentity(readBack, request.identity)) throw new CaError('bad-identity', `${JSON.stringify(uri)} is not a SPIFFE id of a workload`)
  return makeCertificate({
    serial: request.serial,
    issuer: authority.name,
    notBeforeMs: request.notBeforeMs,
    notAfterMs: request.notAfterMs,
    subject: emptyName(),
    publicKey: request.publicKey,
    extensions: [
      endEntityConstraints(),
      keyUsage('digitalSignature'),
      bothTlsUsages(),
      subjectKeyIdentifier(keyIdentifier(request.publicKey)),
      authorityKeyIdentifier(authority.keyIdentifier),
      uriName(uri),
    ],
    key: authority.key,
  })
}

/**
 * Reads the public key of a request, the only thing in it that is believed.
 * @param pem SubjectPublicKeyInfo; private keys, certificates and CSRs, out of which Node would cut a key as well, are refused
 * @returns DER, P-256
 * @throws {CaError} `bad-public-key`
 */
export function readPublicKey(pem: string): Buffer {
  const body = /^-----BEGIN PUBLIC KEY-----\s([A-Za-z0-9+/=\s]{1,400})-----END PUBLIC KEY-----\s*$/.exec(pem)?.[1]
  if (body === undefined) throw new CaError('bad-public-key', 'not one PEM public key')
  try {
    const key = createPublicKey(pem)
    const der = key.export({ type: 'spki', format: 'der' })
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1' && der.length === p256SpkiBytes && der.equals(Buffer.from(body, 'base64'))) return der
  } catch (error) {
    throw new CaError('bad-public-key', 'the public key can not be read', { cause: error })
  }
  throw new CaError('bad-public-key', 'the public key is not exactly one of P-256 with a named curve and an uncompressed point')
}
