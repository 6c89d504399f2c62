import type { Asn1 } from 'node-forge/lib/asn1.js'
import asn1 from 'node-forge/lib/asn1.js'

const universal = 0x00
const context = 0x80

/** SEQUENCE of `values`. */
export function sequence(...values: readonly Asn1[]): Asn1 {
  return asn1.create(universal, 16, true, values)
}

/** SET of one value, as a relative distinguished name needs it. */
export function setOf(value: Asn1): Asn1 {
  return asn1.create(universal, 17, true, [value])
}

/** OBJECT IDENTIFIER. */
export function oid(dotted: string): Asn1 {
  return asn1.create(universal, 6, false, asn1.oidToDer(dotted).getBytes())
}

/** INTEGER of a big-endian, unsigned number. */
export function unsigned(bytes: Uint8Array): Asn1 {
  const start = bytes.findIndex((each) => each !== 0)
  const digits = start === -1 ? Buffer.from([0]) : Buffer.from(bytes.subarray(start))
  const text = digits.toString('latin1')
  return asn1.create(universal, 2, false, text.charCodeAt(0) > 0x7f ? `\0${text}` : text)
}

/** BOOLEAN. */
export function boolean(value: boolean): Asn1 {
  return asn1.create(universal, 1, false, value ? '\xff' : '\0')
}

export function nothing(): Asn1 {
  return asn1.create(universal, 5, false, '')
}

/** UTF8String. */
export function utf8(text: string): Asn1 {
  return asn1.create(universal, 12, false, Buffer.from(text, 'utf8').toString('latin1'))
}

/** OCTET STRING. */
export function octets(bytes: Uint8Array): Asn1 {
  return asn1.create(universal, 4, false, Buffer.from(bytes).toString('latin1'))
}

/** BIT STRING; `unused` bits of the last byte do not count. */
export function bits(bytes: Uint8Array, unused = 0): Asn1 {
  return asn1.create(universal, 3, false, String.fromCharCode(unused) + Buffer.from(bytes).toString('latin1'))
}

/** `[tag] EXPLICIT`. */
export function explicit(tag: number, value: Asn1): Asn1 {
  return asn1.create(context, tag, true, [value])
}

/** `[tag] IMPLICIT` over bytes. */
export function implicit(tag: number, bytes: Uint8Array): Asn1 {
  return asn1.create(context, tag, false, Buffer.from(bytes).toString('latin1'))
}

/** A time as certificates write it: UTCTime before 2050, then GeneralizedTime. Whole seconds, rounded down. Source: RFC 5280 §4.1.2.5. */
export function time(ms: number): Asn1 {
  const date = new Date(ms)
  const digits = date.toISOString().replace(/\.\d+Z$/, 'Z').replace(/[-:T]/g, '')
  return date.getUTCFullYear() < 2050 ? asn1.create(universal, 23, false, digits.slice(2)) : asn1.create(universal, 24, false, digits)
}

/** The DER of `value`. */
export function encode(value: Asn1): Buffer {
  return Buffer.from(asn1.toDer(value).getBytes(), 'latin1')
}

/** @throws if `der` is not one ASN.1 value from its first to its last byte */
export function decode(der: Uint8Array): Asn1 {
  return asn1.fromDer(Buffer.from(der).toString('latin1'), { strict: true, parseAllBytes: true, decodeBitStrings: false })
}

/** The values that a constructed one holds. */
export function children(value: Asn1 | undefined): readonly Asn1[] {
  if (value === undefined || typeof value.value === 'string') throw new Error('not the ASN.1 structure that a certificate has')
  return value.value
}

/** The bytes of a primitive value. */
export function contents(value: Asn1 | undefined): Buffer {
  if (typeof value?.value !== 'string') throw new Error('not the ASN.1 structure that a certificate has')
  return Buffer.from(value.value, 'latin1')
}

/** `-----BEGIN label-----` around `der`. */
export function toPem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der).toString('base64').match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n')
}
