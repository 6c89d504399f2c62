import type { KeyObject } from 'node:crypto'
import { X509Certificate, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import type { Asn1 } from 'node-forge/lib/asn1.js'
import { authorityConstraints, commonName, keyIdentifier, keyUsage, makeCertificate, readIssuer, subjectKeyIdentifier } from './certificate.ts'
import { toPem } from './der.ts'
import { CaError } from './errors.ts'

/** A key that signs SVIDs, with what ties it to a root. */
export interface Authority {
  /** SHA-256 fingerprint of the root, hex: names the root in rotations and stores. */
  readonly id: string
  readonly rootPem: string
  /** Certificates between the SVIDs and the root, lowest first, PEM; '' if the root itself signs. */
  readonly intermediatesPem: string
  readonly privateKeyPem: string
  readonly key: KeyObject
  /** The signing certificate's name and key identifier, as SVIDs must repeat them. */
  readonly name: Asn1
  readonly keyIdentifier: Buffer
  /** Until when all of the chain is valid, milliseconds since the epoch. */
  readonly notAfterMs: number
}

/** How long a root lives unless told otherwise. */
export const rootLifetimeMs = 10 * 365 * 86_400_000

/** How far before the present a new certificate's validity begins: the tolerance for clocks that are behind, which TLS itself lacks. */
export const backdateMs = 5 * 60_000

/**
 * Makes a new self-signed root with a P-256 key. Each has a name of its own, so that no verifier confuses two roots of one mesh.
 * It may have no CA below it (path length 0).
 */
export function makeRoot(trustDomain: string, options: { readonly nowMs: number; readonly lifetimeMs?: number }): Authority {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const id = keyIdentifier(spki)
  const name = commonName(`${trustDomain.slice(0, 40)} root ${id.toString('hex', 0, 8)}`)
  const der = makeCertificate({
    serial: randomSerial(),
    issuer: name,
    notBeforeMs: options.nowMs - backdateMs,
    notAfterMs: options.nowMs + (options.lifetimeMs ?? rootLifetimeMs),
    subject: name,
    publicKey: spki,
    extensions: [authorityConstraints(0), keyUsage('certificateAuthority'), subjectKeyIdentifier(id)],
    key: privateKey,
  })
  return loadAuthority({ rootPem: toPem('CERTIFICATE', der), intermediatesPem: '', privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() })
}

/** 128 random bits with the first bit 0 and the second 1: positive, and always 16 bytes long. */
export function randomSerial(): Buffer {
  const serial = randomBytes(16)
  serial.writeUInt8((serial.readUInt8(0) & 0x7f) | 0x40, 0)
  return serial
}

/**
 * Loads a root, or an intermediate with its chain, from PEM, and proves that key, chain and root belong together.
 * @param pem `intermediatesPem` lowest first, '' if the root's own key signs
 * @throws {CaError} `bad-authority`
 */
export function loadAuthority(pem: Pick<Authority, 'rootPem' | 'intermediatesPem' | 'privateKeyPem'>): Authority {
  try {
    return load(pem)
  } catch (error) {
    if (error instanceof CaError) throw error
    throw new CaError('bad-authority', `the CA's certificate or key can not be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

function load(pem: Pick<Authority, 'rootPem' | 'intermediatesPem' | 'privateKeyPem'>): Authority {
  const refuse = (message: string): CaError => new CaError('bad-authority', message)
  const [root, ...more] = certificatesOf(pem.rootPem)
  if (root === undefined || more.length > 0) throw refuse('the root is not one PEM certificate')
  const chain = [...certificatesOf(pem.intermediatesPem), root]
  const signing = chain[0] ?? root
  const key = createPrivateKey(pem.privateKeyPem)
  if (!signing.checkPrivateKey(key)) throw refuse('the private key does not belong to the signing certificate')
  for (const [index, each] of chain.entries()) {
    if (!isStrong(each.publicKey)) throw refuse(`the key of ${each.subject} is neither P-256, P-384, P-521 nor RSA of at least 2048 bits`)
    const issuer = chain[index + 1] ?? each
    // OpenSSL answers no as well if the key usage lacks keyCertSign.
    if (!each.ca) throw refuse(`${each.subject} is not a CA certificate that may sign others`)
    if (!each.checkIssued(issuer) || !each.verify(issuer.publicKey)) throw refuse(`${each.subject} was not issued by ${issuer.subject}`)
  }
  const own = readIssuer(signing.raw)
  return {
    id: root.fingerprint256.replaceAll(':', '').toLowerCase(),
    rootPem: root.toString(),
    intermediatesPem: chain.slice(0, -1).map(String).join(''),
    privateKeyPem: pem.privateKeyPem,
    key,
    name: own.name,
    keyIdentifier: own.keyIdentifier ?? keyIdentifier(createPublicKey(key).export({ type: 'spki', format: 'der' })),
    notAfterMs: Math.min(...chain.map((each) => each.validToDate.getTime())),
  }
}

function isStrong(key: KeyObject): boolean {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {}
  return key.asymmetricKeyType === 'rsa' ? (modulusLength ?? 0) >= 2048 : ['prime256v1', 'secp384r1', 'secp521r1'].includes(namedCurve ?? '')
}

function certificatesOf(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return blocks.map((block) => new X509Certificate(block))
}
