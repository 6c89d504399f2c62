import type { KeyObject } from 'node:crypto'
import { hash, sign } from 'node:crypto'
import type { Asn1 } from 'node-forge/lib/asn1.js'
import { bits, boolean, children, contents, decode, encode, explicit, implicit, nothing, octets, oid, sequence, setOf, time, unsigned, utf8 } from './der.ts'

/** What a certificate says; `key` signs it. */
export interface CertificateParts {
  /** Big-endian, unsigned. */
  readonly serial: Uint8Array
  /** A Name, as `commonName` makes it or as `nameOf` cuts it from the issuer. */
  readonly issuer: Asn1
  /** Milliseconds since the epoch. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly subject: Asn1
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array
  readonly extensions: readonly Asn1[]
  readonly key: KeyObject
}

const oids = {
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  sha256WithRsa: '1.2.840.113549.1.1.11',
  commonName: '2.5.4.3',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const
const uriTag = 6
const keyUsages = { digitalSignature: [0x80, 7], certificateAuthority: [0x06, 1] } as const

/**
 * Makes an X.509 v3 certificate, DER, signed with SHA-256 and ECDSA or RSA, as the key is.
 * Source: RFC 5280 §4.1.
 */
export function makeCertificate(parts: CertificateParts): Buffer {
  const algorithm = parts.key.asymmetricKeyType === 'rsa' ? sequence(oid(oids.sha256WithRsa), nothing()) : sequence(oid(oids.ecdsaWithSha256))
  const body = sequence(
    explicit(0, unsigned(Buffer.from([2]))),
    unsigned(parts.serial),
    algorithm,
    parts.issuer,
    sequence(time(parts.notBeforeMs), time(parts.notAfterMs)),
    parts.subject,
    decode(parts.publicKey),
    explicit(3, sequence(...parts.extensions)),
  )
  return encode(sequence(body, algorithm, bits(sign('sha256', encode(body), parts.key))))
}

/** A Name of nothing but a common name. */
export function commonName(name: string): Asn1 {
  return sequence(setOf(sequence(oid(oids.commonName), utf8(name))))
}

/** Extension of a Name's absence: SVIDs carry their name in the SAN alone. */
export function emptyName(): Asn1 {
  return sequence()
}

/** One extension. */
export function extension(id: string, critical: boolean, value: Asn1): Asn1 {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(encode(value)))
}

/** CA:TRUE, critical; `pathLength` is how many CAs may stand below, undefined: any number. */
export function authorityConstraints(pathLength?: number): Asn1 {
  const length = pathLength === undefined ? [] : [unsigned(Buffer.from([pathLength]))]
  return extension(oids.basicConstraints, true, sequence(boolean(true), ...length))
}

/** CA:FALSE, critical. */
export function endEntityConstraints(): Asn1 {
  return extension(oids.basicConstraints, true, sequence())
}

/** Key usage, critical: signatures for a workload, certificates and revocation lists for a CA. */
export function keyUsage(usage: keyof typeof keyUsages): Asn1 {
  const [flags, unused] = keyUsages[usage]
  return extension(oids.keyUsage, true, bits(Buffer.from([flags]), unused))
}

/** TLS server and TLS client: every workload is both. */
export function bothTlsUsages(): Asn1 {
  return extension(oids.extendedKeyUsage, false, sequence(oid(oids.serverAuth), oid(oids.clientAuth)))
}

/** One URI as the only name; critical, as it must be where the subject is empty. Source: RFC 5280 §4.2.1.6. */
export function uriName(uri: string): Asn1 {
  return extension(oids.subjectAltName, true, sequence(implicit(uriTag, Buffer.from(uri, 'latin1'))))
}

export function subjectKeyIdentifier(id: Uint8Array): Asn1 {
  return extension(oids.subjectKeyIdentifier, false, octets(id))
}

export function authorityKeyIdentifier(id: Uint8Array): Asn1 {
  return extension(oids.authorityKeyIdentifier, false, sequence(implicit(0, id)))
}

/** Identifies a public key (SubjectPublicKeyInfo, DER): the first 160 bits of its SHA-256. Source: RFC 7093 §2 method 1. */
export function keyIdentifier(publicKey: Uint8Array): Buffer {
  const key = contents(children(decode(publicKey))[1]).subarray(1)
  return hash('sha256', key, 'buffer').subarray(0, 20)
}

/** What an issuer's certificate (DER) must lend to those it issues: its name, byte for byte, and its key identifier if it states one. */
export function readIssuer(der: Uint8Array): { readonly name: Asn1; readonly keyIdentifier: Buffer | undefined } {
  const fields = children(children(decode(der))[0])
  const name = fields[5]
  if (name === undefined) throw new Error('not the ASN.1 structure that a certificate has')
  const wanted = encode(oid(oids.subjectKeyIdentifier))
  for (const each of children(children(fields.at(-1))[0])) {
    const [id, ...rest] = children(each)
    if (id !== undefined && encode(id).equals(wanted)) return { name, keyIdentifier: contents(decode(contents(rest.at(-1)))) }
  }
  return { name, keyIdentifier: undefined }
}
