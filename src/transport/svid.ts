import { messageOf } from '../kit/message.ts'
import type { Identity } from '../model/identity.ts'
import { parseSpiffeId } from '../model/identity.ts'
import type { Certificate } from './svid-certificate.ts'
import { CertificateError, readCertificate } from './svid-certificate.ts'

/** The roots that SVIDs may chain to, read once. More than one while a root rotates. */
export interface TrustBundle {
  readonly roots: readonly Certificate[]
}

export interface SvidOptions {
  /** The only trust domain whose identities are accepted. */
  readonly trustDomain: string
  /** Milliseconds since the epoch. */
  readonly nowMs: number
  /** What the peer is in this TLS session: a server checks its `client`, a client its `server`. */
  readonly usage: 'client' | 'server'
}

export type SvidRefusalCode = keyof typeof svidRefusals

export type SvidVerdict =
  | { readonly ok: true; readonly identity: Identity; readonly notAfterMs: number }
  | { readonly ok: false; readonly code: SvidRefusalCode; readonly message: string; readonly advice: string }

const foreignIssuer = 'the certificate was not made by this mesh\'s CA; see that the peer gets its certificates from it'

/** Every reason to refuse a peer's certificate, with what to do about it. The codes are stable. */
export const svidRefusals = {
  'no-certificate': 'the peer showed no certificate: it must present its SVID',
  'chain-too-long': 'the peer sent more certificates than a chain may have: send the SVID and its intermediates only',
  'malformed-certificate': foreignIssuer,
  'duplicate-extension': foreignIssuer,
  'unknown-critical-extension': foreignIssuer,
  'no-spiffe-id': 'an SVID names its workload in one URI SAN; host names and e-mail addresses are not identities here',
  'several-names': 'an SVID has exactly one subject alternative name, its SPIFFE id: issue one certificate for each identity',
  'malformed-spiffe-id': 'the id must read spiffe://<trust domain>/ns/<namespace>/sa/<service account>, spelled exactly so',
  'foreign-trust-domain': 'the peer belongs to another mesh: give both the same --trust-domain, or keep them apart',
  'leaf-is-ca': 'a workload must not hold a CA certificate: revoke it and look who issued it',
  'key-usage': foreignIssuer,
  'extended-key-usage': 'the SVID lacks the usage for its side of TLS: issue it with both serverAuth and clientAuth',
  'not-yet-valid': 'the validity begins later: compare the clocks of both machines',
  'expired': 'the peer could not renew in time: see that it reaches the CA, and compare the clocks of both machines',
  'weak-key': 'SVIDs have P-256 keys; CAs have P-256, P-384, P-521 or RSA keys of at least 2048 bits',
  'weak-signature': 'sign with ECDSA or RSA (PKCS #1 v1.5) and SHA-256, SHA-384 or SHA-512',
  'unknown-issuer': 'no root of the trust bundle issued it: after a root rotation see that both sides have the present bundle',
  'bad-signature': 'an issuer of that name and another key is trusted: see whether the CA lost its root and made a new one',
  'invalid-issuer': 'a certificate above the SVID may not issue it: see the message for which one and why',
} as const

/** Longest chain that is looked at: the SVID, its intermediates and the root that some peers send along. */
export const maxChainLength = 6

const usageOids = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' } as const
const uriTag = 6
const minRsaBits = 2048
const caCurves: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1'])
const signatureAlgorithms: ReadonlySet<string> = new Set([
  '1.2.840.10045.4.3.2', '1.2.840.10045.4.3.3', '1.2.840.10045.4.3.4', // ecdsa-with-SHA256, 384, 512
  '1.2.840.113549.1.1.11', '1.2.840.113549.1.1.12', '1.2.840.113549.1.1.13', // sha256, 384, 512 WithRSAEncryption
])

/** Why a chain is refused: thrown inside this file only. */
class Refusal extends Error {
  readonly code: SvidRefusalCode
  constructor(code: SvidRefusalCode, message: string) {
    super(message)
    this.code = code
  }
}

/**
 * Reads the roots of a trust bundle. A root's own validity is judged at each check, not here.
 * @param pems each may hold several certificates; the same root twice counts once
 * @throws if there is none, or if one can not be a root: a bundle with a broken part must not look like a smaller one
 */
export function parseTrustBundle(pems: readonly string[]): TrustBundle {
  const roots = new Map<string, Certificate>()
  for (const der of pems.flatMap(certificatesInPem)) {
    const root = readRoot(der)
    roots.set(root.x509.fingerprint256, root)
  }
  if (roots.size === 0) throw new Error('the trust bundle holds no certificate: give it at least the CA\'s present root, PEM')
  return { roots: [...roots.values()] }
}

/**
 * The DER of each certificate in `pem`, in order; text around them is ignored.
 * @throws if there is none, or if one is cut off
 */
export function certificatesInPem(pem: string): readonly Buffer[] {
  const blocks = [...pem.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g)]
  if (blocks.length === 0 || blocks.length !== pem.split('-----BEGIN').length - 1) {
    throw new Error('not a list of PEM certificates: each must stand whole between its BEGIN CERTIFICATE and END CERTIFICATE lines, and nothing else may')
  }
  return blocks.map((found) => Buffer.from(found[1] ?? '', 'base64'))
}

/**
 * Judges the certificates that a peer proved to hold the key of, beyond what TLS judges, and says who the peer is. Never throws.
 *
 * Stricter than SPIFFE where our CA makes nothing else: one subject alternative name in all (SPIFFE lets DNS names stand beside
 * the URI), P-256 keys, and both an extended key usage and a critical key usage must be there. There is no tolerance for clocks: OpenSSL has none
 * either, so the CA back-dates instead. Certificates after the first one that a root issued are not looked at.
 * @param chainDer leaf first, then intermediates as the peer sent them, with or without the root
 * Source: X509-SVID §2 to §5, RFC 5280 §6.1, restricted.
 */
export function checkSvid(chainDer: readonly Uint8Array[], bundle: TrustBundle, options: SvidOptions): SvidVerdict {
  try {
    const [leafDer, ...rest] = chainDer
    if (leafDer === undefined) throw new Refusal('no-certificate', 'there is no certificate')
    if (chainDer.length > maxChainLength) throw new Refusal('chain-too-long', `${chainDer.length} certificates are more than ${maxChainLength}`)
    const leaf = readCertificate(leafDer)
    checkLeaf(leaf, options)
    const identity = readIdentity(leaf, options.trustDomain)
    const notAfterMs = Math.min(leaf.notAfterMs, checkChain(leaf, rest, bundle, options))
    return { ok: true, identity, notAfterMs }
  } catch (error) {
    const code = error instanceof Refusal || error instanceof CertificateError ? error.code : 'malformed-certificate'
    return { ok: false, code, message: messageOf(error), advice: svidRefusals[code] }
  }
}

function checkLeaf(leaf: Certificate, options: SvidOptions): void {
  if (leaf.unknownCritical.length > 0) throw new Refusal('unknown-critical-extension', `critical extension ${leaf.unknownCritical.join(', ')}`)
  if (leaf.ca) throw new Refusal('leaf-is-ca', 'the peer\'s certificate is a CA\'s')
  const usage = leaf.keyUsage
  if (usage === undefined) throw new Refusal('key-usage', 'no key usage')
  if (!usage.critical) throw new Refusal('key-usage', 'the key usage is not critical')
  if (!usage.digitalSignature) throw new Refusal('key-usage', 'the key may not make signatures')
  if (usage.keyCertSign || usage.cRLSign) throw new Refusal('key-usage', 'a workload\'s key may sign certificates or revocation lists')
  if (leaf.extendedKeyUsage?.includes(usageOids[options.usage]) !== true) {
    throw new Refusal('extended-key-usage', `the certificate is not for a TLS ${options.usage}`)
  }
  if (!signatureAlgorithms.has(leaf.signatureAlgorithm)) throw new Refusal('weak-signature', `signature algorithm ${leaf.signatureAlgorithm}`)
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = leaf.x509.publicKey
  if (type !== 'ec' || details?.namedCurve !== 'prime256v1') throw new Refusal('weak-key', `the SVID's key is ${details?.namedCurve ?? String(type)}, not P-256`)
  if (options.nowMs < leaf.notBeforeMs) throw new Refusal('not-yet-valid', `valid from ${new Date(leaf.notBeforeMs).toISOString()}`)
  if (options.nowMs > leaf.notAfterMs) throw new Refusal('expired', `valid until ${new Date(leaf.notAfterMs).toISOString()}`)
}

function readIdentity(leaf: Certificate, trustDomain: string): Identity {
  const names = leaf.alternativeNames ?? []
  const [uri] = names.filter(({ tag }) => tag === uriTag)
  if (uri === undefined) throw new Refusal('no-spiffe-id', 'no URI among the subject alternative names')
  if (names.length > 1) throw new Refusal('several-names', `${names.length} subject alternative names`)
  const identity = parseSpiffeId(uri.value)
  if (identity === undefined) throw new Refusal('malformed-spiffe-id', `the URI ${JSON.stringify(uri.value.slice(0, 200))} is not a SPIFFE id of a workload`)
  if (identity.trustDomain !== trustDomain) {
    throw new Refusal('foreign-trust-domain', `the trust domain is ${identity.trustDomain}, not ${trustDomain}`)
  }
  return identity
}

/** Walks up to a root. @returns when the first of the issuers expires, milliseconds since the epoch */
function checkChain(leaf: Certificate, above: readonly Uint8Array[], bundle: TrustBundle, options: SvidOptions): number {
  let subject = leaf
  let expiresMs = Infinity
  for (let below = 0; ; below++) {
    const root = bundle.roots.find((each) => subject.x509.checkIssued(each.x509) && subject.x509.verify(each.x509.publicKey))
    const der = above[below]
    const issuer = root ?? (der === undefined ? undefined : readIssuer(der))
    if (issuer === undefined) {
      // A root of the same name and key identifier that did not sign this is another matter than no root at all.
      const named = bundle.roots.some((each) => subject.x509.checkIssued(each.x509))
      throw named ? new Refusal('bad-signature', 'the signature does not fit the root of that name') : new Refusal('unknown-issuer', 'no trusted root issued it')
    }
    checkIssuer(issuer, below, options)
    if (root !== undefined) return Math.min(expiresMs, root.notAfterMs)
    if (!subject.x509.checkIssued(issuer.x509)) throw new Refusal('unknown-issuer', 'the next certificate of the chain is not its issuer')
    if (!subject.x509.verify(issuer.x509.publicKey)) throw new Refusal('bad-signature', 'the signature does not fit the next certificate of the chain')
    expiresMs = Math.min(expiresMs, issuer.notAfterMs)
    subject = issuer
  }
}

function readIssuer(der: Uint8Array): Certificate {
  const issuer = readCertificate(der)
  checkAuthority(issuer)
  return issuer
}

/** What every certificate above an SVID must be, now and later. */
function checkAuthority(issuer: Certificate): void {
  const refuse = (why: string): Refusal => new Refusal('invalid-issuer', `an issuer ${why}`)
  if (issuer.unknownCritical.length > 0) throw refuse(`has the critical extension ${issuer.unknownCritical.join(', ')}, which is not understood`)
  if (issuer.nameConstrained) throw refuse('has name constraints, which are not understood')
  if (!issuer.ca) throw refuse('is not a CA')
  if (issuer.keyUsage?.keyCertSign !== true) throw refuse('may not sign certificates')
  if (!signatureAlgorithms.has(issuer.signatureAlgorithm)) throw new Refusal('weak-signature', `an issuer's signature algorithm is ${issuer.signatureAlgorithm}`)
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = issuer.x509.publicKey
  const strong = type === 'ec' ? caCurves.has(details?.namedCurve ?? '') : type === 'rsa' && (details?.modulusLength ?? 0) >= minRsaBits
  if (!strong) throw new Refusal('weak-key', `an issuer's key is ${String(type)} ${details?.namedCurve ?? String(details?.modulusLength)}`)
}

/** @param below how many intermediates stand between this issuer and the SVID */
function checkIssuer(issuer: Certificate, below: number, options: SvidOptions): void {
  const refuse = (why: string): Refusal => new Refusal('invalid-issuer', `an issuer ${why}`)
  if (issuer.pathLength !== undefined && below > issuer.pathLength) throw refuse(`allows ${issuer.pathLength} intermediates, and there are ${below}`)
  if (issuer.extendedKeyUsage?.includes(usageOids[options.usage]) === false) throw refuse(`is not for TLS ${options.usage}s`)
  if (options.nowMs < issuer.notBeforeMs) throw refuse(`is valid from ${new Date(issuer.notBeforeMs).toISOString()}`)
  if (options.nowMs > issuer.notAfterMs) throw refuse(`was valid until ${new Date(issuer.notAfterMs).toISOString()}`)
}

function readRoot(der: Buffer): Certificate {
  try {
    return readIssuer(der)
  } catch (error) {
    throw new Error(`a certificate of the trust bundle can not be a root: ${messageOf(error)}`, { cause: error })
  }
}
