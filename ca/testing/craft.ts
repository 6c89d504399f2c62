import type { KeyObject } from 'node:crypto'
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import type { Asn1 } from 'node-forge/lib/asn1.js'
import { authorityConstraints, authorityKeyIdentifier, bothTlsUsages, commonName, emptyName, endEntityConstraints, extension, keyIdentifier, keyUsage, subjectKeyIdentifier } from '../certificate.ts'
import { bits, decode, encode, explicit, implicit, nothing, oid, sequence, time, toPem, unsigned } from '../der.ts'

/** Someone with a key and a name, who signs. */
export interface Party {
  readonly name: Asn1
  readonly key: KeyObject
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Buffer
  /** Its own certificate, DER. */
  readonly der: Buffer
}

/** What a test needs to make certificates of one mesh. */
export interface CraftFixture {
  readonly trustDomain: string
  /** The present of every certificate, milliseconds since the epoch. */
  readonly nowMs: number
  /** P-256, with no limit on the path below. */
  readonly root: Party
  readonly rootPem: string
  /** The key of every crafted SVID unless it is about keys. */
  readonly leafKey: KeyObject
}

/** What differs from a good SVID. Extensions by name: undefined leaves one out, a list repeats it. */
export interface Craft {
  readonly issuer?: Pick<Party, 'name' | 'key' | 'publicKey'>
  readonly subject?: Asn1
  readonly key?: KeyObject
  readonly extensions?: Readonly<Record<string, Asn1 | readonly Asn1[] | undefined>>
  readonly notBefore?: Asn1
  readonly notAfter?: Asn1
  readonly serial?: Asn1
  readonly version?: readonly Asn1[]
  readonly signWith?: keyof typeof algorithms
  /** What the certificate says that it is signed with, where that is a lie. */
  readonly saysSignedWith?: keyof typeof algorithms
  /** Changes the finished signature. */
  readonly signature?: (bytes: Buffer) => Asn1
}

const algorithms = {
  ecdsaSha256: { id: () => sequence(oid('1.2.840.10045.4.3.2')), hash: 'sha256' },
  ecdsaSha1: { id: () => sequence(oid('1.2.840.10045.4.1')), hash: 'sha1' },
  ecdsaSha384: { id: () => sequence(oid('1.2.840.10045.4.3.3')), hash: 'sha384' },
  rsaSha256: { id: () => sequence(oid('1.2.840.113549.1.1.11'), nothing()), hash: 'sha256' },
} as const

const minute = 60_000

/** A root and keys for one mesh. */
export function craftFixture(options: { readonly trustDomain: string; readonly nowMs: number }): CraftFixture {
  const root = craftAuthority({ nowMs: options.nowMs }, 'crafted root')
  return { ...options, root, rootPem: toPem('CERTIFICATE', root.der), leafKey: newKey() }
}

/** A new private key. */
export function newKey(namedCurve = 'prime256v1'): KeyObject {
  return generateKeyPairSync('ec', { namedCurve }).privateKey
}

/** SubjectPublicKeyInfo of a private key, DER. */
export function publicKeyOf(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: 'spki', format: 'der' })
}

/** DER of an SVID for `spiffe://<trust domain>/ns/shop/sa/cart` with what `craft` changes. */
export function craftSvid(fixture: CraftFixture, craft: Craft = {}): Buffer {
  const issuer = craft.issuer ?? fixture.root
  const key = craft.key ?? fixture.leafKey
  const publicKey = publicKeyOf(key)
  return assemble(fixture.nowMs, publicKey, issuer, craft, {
    constraints: endEntityConstraints(),
    keyUsage: keyUsage('digitalSignature'),
    extendedKeyUsage: bothTlsUsages(),
    subjectKeyIdentifier: subjectKeyIdentifier(keyIdentifier(publicKey)),
    authorityKeyIdentifier: authorityKeyIdentifier(keyIdentifier(issuer.publicKey)),
    names: names(uri(`spiffe://${fixture.trustDomain}/ns/shop/sa/cart`)),
    ...craft.extensions,
  })
}

/** A CA with a name of its own; self-signed unless `craft` names an issuer. */
export function craftAuthority(fixture: Pick<CraftFixture, 'nowMs'>, name: string, craft: Craft = {}): Party {
  const key = craft.key ?? newKey()
  const publicKey = publicKeyOf(key)
  const self = { name: commonName(name), key, publicKey }
  const issuer = craft.issuer ?? self
  const der = assemble(fixture.nowMs, publicKey, issuer, { subject: self.name, ...craft }, {
    constraints: authorityConstraints(),
    keyUsage: keyUsage('certificateAuthority'),
    subjectKeyIdentifier: subjectKeyIdentifier(keyIdentifier(publicKey)),
    authorityKeyIdentifier: authorityKeyIdentifier(keyIdentifier(issuer.publicKey)),
    ...craft.extensions,
  })
  return { ...self, der }
}

/** GeneralName of a URI, its characters as latin1 bytes. */
export function uri(text: string): Asn1 {
  return implicit(6, Buffer.from(text, 'latin1'))
}

/** Subject alternative name extension. */
export function names(...list: readonly Asn1[]): Asn1 {
  return extension('2.5.29.17', true, sequence(...list))
}

/** `values` in indefinite length, which BER allows and DER does not. */
export function indefinite(der: Buffer): Buffer {
  const header = (der[1] ?? 0) < 0x80 ? 2 : 2 + ((der[1] ?? 0) & 0x7f)
  return Buffer.concat([Buffer.from([der[0] ?? 0, 0x80]), der.subarray(header), Buffer.from([0, 0])])
}

function assemble(nowMs: number, publicKey: Buffer, issuer: Pick<Party, 'name' | 'key'>, craft: Craft, extensions: Craft['extensions']): Buffer {
  const present = Object.values(extensions ?? {}).flatMap((each) => each ?? [])
  const signWith = algorithms[craft.signWith ?? (issuer.key.asymmetricKeyType === 'rsa' ? 'rsaSha256' : 'ecdsaSha256')]
  const body = sequence(
    ...(craft.version ?? [explicit(0, unsigned(Buffer.from([2])))]),
    craft.serial ?? unsigned(Buffer.from('5a0102030405060708090a0b0c0d0e0f', 'hex')),
    (craft.saysSignedWith === undefined ? signWith : algorithms[craft.saysSignedWith]).id(),
    issuer.name,
    sequence(craft.notBefore ?? time(nowMs - 5 * minute), craft.notAfter ?? time(nowMs + 60 * minute)),
    craft.subject ?? emptyName(),
    decode(publicKey),
    ...(present.length === 0 ? [] : [explicit(3, sequence(...present))]),
  )
  const signature = sign(signWith.hash, encode(body), issuer.key)
  return encode(sequence(body, signWith.id(), craft.signature?.(signature) ?? bits(signature)))
}
