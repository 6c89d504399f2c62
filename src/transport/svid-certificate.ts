import { X509Certificate } from 'node:crypto'
import type { Asn1 } from 'node-forge/lib/asn1.js'
import asn1 from 'node-forge/lib/asn1.js'
import { messageOf } from '../kit/message.ts'

/** One extension of a certificate; `value` is the DER inside its OCTET STRING. */
interface Extension {
  readonly critical: boolean
  readonly value: string
}

/** One entry of a subject alternative name: `tag` as in GeneralName (1 e-mail, 2 DNS, 6 URI, 7 IP), `value` its bytes as latin1. */
export interface GeneralName {
  readonly tag: number
  readonly value: string
}

/** A certificate as the SVID rules read it: our own strict reading beside OpenSSL's, of the same bytes. */
export interface Certificate {
  readonly der: Buffer
  readonly x509: X509Certificate
  readonly signatureAlgorithm: string
  /** Milliseconds since the epoch; both ends belong to the validity. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** Critical extensions that this reader does not know, by OID. */
  readonly unknownCritical: readonly string[]
  readonly nameConstrained: boolean
  readonly ca: boolean
  readonly pathLength: number | undefined
  readonly keyUsage: { readonly critical: boolean; readonly digitalSignature: boolean; readonly keyCertSign: boolean; readonly cRLSign: boolean } | undefined
  /** OIDs; undefined without the extension. */
  readonly extendedKeyUsage: readonly string[] | undefined
  readonly alternativeNames: readonly GeneralName[] | undefined
}

/** Why bytes are not a certificate that we read. */
export class CertificateError extends Error {
  readonly code: 'malformed-certificate' | 'duplicate-extension'
  constructor(code: CertificateError['code'], message: string) {
    super(message)
    this.code = code
  }
}

/** Longest certificate that is read, bytes; ours are about 500. */
export const maxCertificateBytes = 16_384

const universal = 0x00
const context = 0x80
const tags = { boolean: 1, integer: 2, bitString: 3, octetString: 4, oid: 6, sequence: 16, utcTime: 23, generalizedTime: 24 } as const

const oids = {
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  subjectAltName: '2.5.29.17',
  nameConstraints: '2.5.29.30',
} as const
const understood: ReadonlySet<string> = new Set([oids.basicConstraints, oids.keyUsage, oids.extendedKeyUsage, oids.subjectAltName])

function malformed(message: string): CertificateError {
  return new CertificateError('malformed-certificate', message)
}

/**
 * Reads one certificate, strictly: DER in its one canonical form, no trailing bytes, X.509 v3, every extension at most once.
 * @throws {CertificateError} and nothing else
 * Source: RFC 5280 §4.1.
 */
export function readCertificate(bytes: Uint8Array): Certificate {
  if (bytes.length > maxCertificateBytes) throw malformed(`${bytes.length} bytes are more than the ${maxCertificateBytes} that a certificate may have`)
  const der = Buffer.from(bytes)
  try {
    return interpret(der)
  } catch (error) {
    if (error instanceof CertificateError) throw error
    throw malformed(messageOf(error))
  }
}

function interpret(der: Buffer): Certificate {
  const [tbs, algorithm, signature] = exactly(3, children(parse(der.toString('latin1')), 'Certificate'))
  if (!primitive(signature, tags.bitString).startsWith('\0')) throw malformed('the signature has unused bits')
  const fields = [...children(tbs, 'TBSCertificate')]
  const version = fields.shift()
  if (!is(version, context, 0, true) || primitive(exactly(1, children(version))[0], tags.integer) !== '\x02') throw malformed('not an X.509 v3 certificate')
  // RFC 5280 forbids the two unique identifiers to CAs, so exactly seven fields remain, the last one the extensions.
  const [serial, innerAlgorithm, , validity, , , wrapped] = exactly(7, fields)
  checkSerial(primitive(serial, tags.integer))
  if (encode(algorithm) !== encode(innerAlgorithm)) throw malformed('the two signature algorithms differ')
  const [notBefore, notAfter] = exactly(2, children(validity, 'Validity'))
  if (!is(wrapped, context, 3, true)) throw malformed('the certificate has no extensions')
  const extensions = readExtensions(exactly(1, children(wrapped))[0])
  // OpenSSL looks for PEM first, and PEM may hide inside DER: be sure that both readers saw the same bytes.
  const x509 = new X509Certificate(der)
  if (!x509.raw.equals(der)) throw malformed('the bytes hold another certificate')
  return {
    der,
    x509,
    signatureAlgorithm: readOid(children(algorithm)[0]),
    notBeforeMs: readTime(notBefore),
    notAfterMs: readTime(notAfter),
    unknownCritical: [...extensions].filter(([oid, { critical }]) => critical && !understood.has(oid)).map(([oid]) => oid),
    nameConstrained: extensions.has(oids.nameConstraints),
    ...readBasicConstraints(extensions.get(oids.basicConstraints)),
    keyUsage: readKeyUsage(extensions.get(oids.keyUsage)),
    extendedKeyUsage: readList(extensions.get(oids.extendedKeyUsage), 'ExtKeyUsage')?.map(readOid),
    alternativeNames: readList(extensions.get(oids.subjectAltName), 'SubjectAltName')?.map(readGeneralName),
  }
}

function readExtensions(list: Asn1): ReadonlyMap<string, Extension> {
  const found = new Map<string, Extension>()
  for (const each of children(list, 'Extensions')) {
    const parts = [...children(each, 'Extension')]
    const oid = readOid(parts.shift())
    const critical = is(parts[0], universal, tags.boolean, false) && readTrue(parts.shift())
    const [value] = exactly(1, parts)
    if (found.has(oid)) throw new CertificateError('duplicate-extension', `the extension ${oid} appears twice`)
    found.set(oid, { critical, value: primitive(value, tags.octetString) })
  }
  return found
}

function readBasicConstraints(extension: Extension | undefined): Pick<Certificate, 'ca' | 'pathLength'> {
  if (extension === undefined) return { ca: false, pathLength: undefined }
  const parts = [...children(parse(extension.value), 'BasicConstraints')]
  const ca = is(parts[0], universal, tags.boolean, false) && readTrue(parts.shift())
  const length = parts.shift()
  if (parts.length > 0 || (length !== undefined && !ca)) throw malformed('BasicConstraints has more than it may')
  if (length === undefined) return { ca, pathLength: undefined }
  const bytes = primitive(length, tags.integer)
  if (bytes.length !== 1 || bytes.charCodeAt(0) > 0x7f) throw malformed('pathLenConstraint is not a number from 0 to 127')
  return { ca, pathLength: bytes.charCodeAt(0) }
}

function readKeyUsage(extension: Extension | undefined): Certificate['keyUsage'] {
  if (extension === undefined) return undefined
  const value = parse(extension.value)
  const raw = primitive(value, tags.bitString)
  const unused = raw.charCodeAt(0)
  const first = raw.charCodeAt(1)
  const last = raw.charCodeAt(raw.length - 1)
  // A named bit list in DER ends with its last 1 bit; RFC 5280 asks for at least one.
  if (raw.length < 2 || raw.length > 3 || unused > 7 || (last & ((2 << unused) - 1)) !== 1 << unused) throw malformed('KeyUsage is not a list of bits')
  return { critical: extension.critical, digitalSignature: (first & 0x80) !== 0, keyCertSign: (first & 0x04) !== 0, cRLSign: (first & 0x02) !== 0 }
}

function readList(extension: Extension | undefined, name: string): readonly Asn1[] | undefined {
  if (extension === undefined) return undefined
  const list = children(parse(extension.value), name)
  if (list.length === 0) throw malformed(`${name} is empty`)
  return list
}

function readGeneralName(name: Asn1): GeneralName {
  if (name.tagClass !== context || name.type > 8) throw malformed('SubjectAltName holds something that is not a GeneralName')
  return { tag: name.type, value: typeof name.value === 'string' ? name.value : '' }
}

function readTime(time: Asn1): number {
  const utc = is(time, universal, tags.utcTime, false)
  const text = primitive(time, utc ? tags.utcTime : tags.generalizedTime)
  const full = utc ? `${Number(text.slice(0, 2)) >= 50 ? '19' : '20'}${text}` : text
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(full)
  if (parts === null) throw malformed('a time is not written as RFC 5280 demands')
  const [year, month, day, hour, minute, second] = parts.slice(1)
  const iso = `${year ?? ''}-${month ?? ''}-${day ?? ''}T${hour ?? ''}:${minute ?? ''}:${second ?? ''}.000Z`
  const ms = Date.parse(iso)
  // Date.parse rolls 31 February over on some engines: the round trip proves that the day exists.
  if (Number.isNaN(ms) || new Date(ms).toISOString() !== iso) throw malformed('a time does not exist')
  if (!utc && Number(year) < 2050) throw malformed('a time before 2050 is not a UTCTime')
  return ms
}

function checkSerial(bytes: string): void {
  if (bytes.length > 20 || bytes.charCodeAt(0) > 0x7f || bytes === '\0') throw malformed('the serial number is not positive and at most 20 bytes long')
}

function readTrue(value: Asn1 | undefined): true {
  if (primitive(value, tags.boolean) !== '\xff') throw malformed('a BOOLEAN is not written as DER demands')
  return true
}

function readOid(value: Asn1 | undefined): string {
  return asn1.derToOid(primitive(value, tags.oid))
}

/** node-forge reads some BER as well (long lengths, padded integers); what it would not write the same way is not DER. */
function parse(der: string): Asn1 {
  const value = asn1.fromDer(der, { strict: true, parseAllBytes: true, decodeBitStrings: false })
  if (encode(value) !== der) throw malformed('not in DER')
  return value
}

function encode(value: Asn1): string {
  return asn1.toDer(value).getBytes()
}

function is(value: Asn1 | undefined, tagClass: number, type: number, constructed: boolean): value is Asn1 {
  return value !== undefined && value.tagClass === tagClass && value.type === type && value.constructed === constructed
}

function primitive(value: Asn1 | undefined, type: number): string {
  if (!is(value, universal, type, false) || typeof value.value !== 'string' || value.value === '') throw malformed(`no ASN.1 value of type ${type} where one must be`)
  return value.value
}

/** @param sequence the name of the SEQUENCE that `value` must be; undefined: any constructed value */
function children(value: Asn1, sequence?: string): readonly Asn1[] {
  if (sequence !== undefined && !is(value, universal, tags.sequence, true)) throw malformed(`no ${sequence} where one must be`)
  if (typeof value.value === 'string') throw malformed('a value that must hold others does not')
  return value.value
}

function exactly(count: 1, list: readonly Asn1[]): readonly [Asn1]
function exactly(count: 2, list: readonly Asn1[]): readonly [Asn1, Asn1]
function exactly(count: 3, list: readonly Asn1[]): readonly [Asn1, Asn1, Asn1]
function exactly(count: 7, list: readonly Asn1[]): readonly [Asn1, Asn1, Asn1, Asn1, Asn1, Asn1, Asn1]
function exactly(count: number, list: readonly Asn1[]): readonly Asn1[] {
  if (list.length !== count) throw malformed(`${list.length} values where ${count} must be`)
  return list
}
