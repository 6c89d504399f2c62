import type { KeyObject } from 'node:crypto'
import { generateKeyPairSync } from 'node:crypto'
import type { Asn1 } from 'node-forge/lib/asn1.js'
import asn1 from 'node-forge/lib/asn1.js'
import type { SvidRefusalCode } from '../../src/transport/svid.ts'
import { maxChainLength } from '../../src/transport/svid.ts'
import { authorityConstraints, authorityKeyIdentifier, bothTlsUsages, commonName, endEntityConstraints, extension, keyIdentifier } from '../certificate.ts'
import { bits, boolean, encode, explicit, implicit, oid, sequence, time, toPem, unsigned, utf8 } from '../der.ts'
import type { Craft, CraftFixture, Party } from './craft.ts'
import { craftAuthority, craftSvid, indefinite, names, newKey, publicKeyOf, uri } from './craft.ts'

/** A peer that must be refused. */
export interface BadCertificate {
  readonly name: string
  /** Leaf first, without the root. */
  readonly chainPem: string
  /** The leaf's own private key, PKCS#8 PEM. */
  readonly keyPem: string
  /** What `checkSvid` says; in a handshake OpenSSL may refuse it before that. */
  readonly refusedBy: SvidRefusalCode
  /** What the peer is in TLS, where only one of both is wrong. */
  readonly usage?: 'client' | 'server'
}

/** A peer that must be accepted: what the matrix of bad ones differs from. */
export type GoodCertificate = Omit<BadCertificate, 'refusedBy' | 'usage'>

const day = 86_400_000
const oids = {
  keyUsage: '2.5.29.15',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  anyExtendedKeyUsage: '2.5.29.37.0',
  codeSigning: '1.3.6.1.5.5.7.3.3',
  unknown: '1.3.6.1.4.1.99999.1',
} as const

const usages = (first: number, unused: number, critical = true): Asn1 => extension(oids.keyUsage, critical, bits(Buffer.from([first]), unused))
const extendedUsages = (...list: readonly string[]): Asn1 => extension(oids.extendedKeyUsage, false, sequence(...list.map(oid)))
const raw = (type: number, bytes: string): Asn1 => asn1.create(0, type, false, bytes)
const generalizedTime = (text: string): Asn1 => raw(24, text)

const cache = new Map<string, readonly BadCertificate[]>()
let rsa: KeyObject | undefined

/** Weak, and slow enough to make that one is enough. */
function rsaKey(): KeyObject {
  return (rsa ??= generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey)
}

/**
 * Every kind of certificate that must be refused although its holder has its key; made once for each fixture.
 * All chain to the fixture's root, except those that are about that.
 */
export function badCertificates(fixture: CraftFixture): readonly BadCertificate[] {
  const found = cache.get(fixture.rootPem)
  if (found !== undefined) return found
  const made = [...badNames(fixture), ...badUsages(fixture), ...badKeysAndTimes(fixture), ...badChains(fixture), ...badEncodings(fixture)]
  cache.set(fixture.rootPem, made)
  return made
}

/** Ways to be right, made in the same manner as the bad ones. */
export function goodCertificates(fixture: CraftFixture): readonly GoodCertificate[] {
  const keyPem = pkcs8(fixture.leafKey)
  const upper = craftAuthority(fixture, 'upper', { issuer: fixture.root, extensions: { constraints: authorityConstraints(1) } })
  const lower = craftAuthority(fixture, 'lower', { issuer: upper, extensions: { constraints: authorityConstraints(0), usages: bothTlsUsages() } })
  const big = craftAuthority(fixture, 'P-384', { issuer: fixture.root, key: newKey('secp384r1') })
  const good = (name: string, ...chain: readonly Buffer[]): GoodCertificate => ({ name, chainPem: chain.map(pem).join(''), keyPem })
  return [
    good('issued by the root', craftSvid(fixture)),
    good('sent with the root', craftSvid(fixture), fixture.root.der),
    good('below two intermediates', craftSvid(fixture, { issuer: lower }), lower.der, upper.der),
    good('below two intermediates, sent with the root', craftSvid(fixture, { issuer: lower }), lower.der, upper.der, fixture.root.der),
    good('below a P-384 intermediate that signs with SHA-384', craftSvid(fixture, { issuer: big, signWith: 'ecdsaSha384' }), big.der),
    good('with an unknown extension that is not critical', craftSvid(fixture, { extensions: { more: extension(oids.unknown, false, utf8('x')) } })),
    good('without basic constraints', craftSvid(fixture, { extensions: { constraints: undefined } })),
    good('with a subject', craftSvid(fixture, { subject: commonName('cart') })),
  ]
}

function leaf(fixture: CraftFixture, name: string, refusedBy: SvidRefusalCode, craft: Craft, usage?: 'client' | 'server'): BadCertificate {
  return chain(fixture, name, refusedBy, [craftSvid(fixture, craft)], craft.key, usage)
}

function chain(fixture: CraftFixture, name: string, refusedBy: SvidRefusalCode, ders: readonly Buffer[], key?: KeyObject, usage?: 'client' | 'server'): BadCertificate {
  return { name, chainPem: ders.map(pem).join(''), keyPem: pkcs8(key ?? fixture.leafKey), refusedBy, ...(usage === undefined ? {} : { usage }) }
}

function badNames(fixture: CraftFixture): readonly BadCertificate[] {
  const domain = fixture.trustDomain
  const good = `spiffe://${domain}/ns/shop/sa/cart`
  const named = (name: string, refusedBy: SvidRefusalCode, ...list: readonly Asn1[]): BadCertificate => leaf(fixture, name, refusedBy, { extensions: { names: names(...list) } })
  const id = (name: string, text: string, refusedBy: SvidRefusalCode = 'malformed-spiffe-id'): BadCertificate => named(name, refusedBy, uri(text))
  return [
    leaf(fixture, 'no subject alternative name', 'no-spiffe-id', { extensions: { names: undefined } }),
    leaf(fixture, 'SPIFFE id as common name only', 'no-spiffe-id', { extensions: { names: undefined }, subject: commonName(good) }),
    named('DNS name only', 'no-spiffe-id', implicit(2, Buffer.from('cart.shop'))),
    named('SPIFFE id as DNS name', 'no-spiffe-id', implicit(2, Buffer.from(good))),
    named('e-mail only', 'no-spiffe-id', implicit(1, Buffer.from('cart@shop.example'))),
    named('IP address only', 'no-spiffe-id', implicit(7, Buffer.from([10, 0, 0, 1]))),
    named('two URIs', 'several-names', uri(good), uri(`spiffe://${domain}/ns/shop/sa/admin`)),
    named('the same URI twice', 'several-names', uri(good), uri(good)),
    named('URI and DNS name', 'several-names', uri(good), implicit(2, Buffer.from('cart.shop'))),
    named('empty subject alternative name', 'malformed-certificate'),
    named('URI in constructed encoding', 'malformed-spiffe-id', asn1.create(0x80, 6, true, [utf8(good)])),
    named('name of a kind that does not exist', 'malformed-certificate', implicit(9, Buffer.from(good))),
    leaf(fixture, 'two subject alternative name extensions', 'duplicate-extension', { extensions: { names: [names(uri(good)), names(uri(`spiffe://${domain}/ns/shop/sa/admin`))] } }),
    id('wrong trust domain', 'spiffe://elsewhere/ns/shop/sa/cart', 'foreign-trust-domain'),
    id('trust domain that begins like ours', `spiffe://${domain}.example/ns/shop/sa/cart`, 'foreign-trust-domain'),
    id('trust domain that ends like ours', `spiffe://x.${domain}/ns/shop/sa/cart`, 'foreign-trust-domain'),
    id('wrong scheme', `https://${domain}/ns/shop/sa/cart`),
    id('upper-case scheme', `SPIFFE://${domain}/ns/shop/sa/cart`),
    id('upper-case trust domain', `spiffe://${domain.toUpperCase()}/ns/shop/sa/cart`),
    id('empty trust domain', 'spiffe:///ns/shop/sa/cart'),
    id('over-long trust domain', `spiffe://${'d'.repeat(256)}/ns/shop/sa/cart`),
    id('user in the authority', `spiffe://x@${domain}/ns/shop/sa/cart`),
    id('port in the authority', `spiffe://${domain}:443/ns/shop/sa/cart`),
    id('empty path', `spiffe://${domain}`),
    id('path of nothing but a slash', `spiffe://${domain}/`),
    id('trailing slash', `${good}/`),
    id('empty segment', `spiffe://${domain}/ns//sa/cart`),
    id('dot segment', `spiffe://${domain}/ns/./sa/cart`),
    id('dot-dot segments', `spiffe://${domain}/ns/shop/sa/cart/../admin`),
    id('dot-dot as the account', `spiffe://${domain}/ns/shop/sa/..`),
    id('extra segments', `${good}/x/y`),
    id('missing segments', `spiffe://${domain}/ns/shop`),
    id('other path words', `spiffe://${domain}/NS/shop/SA/cart`),
    id('percent-encoding', `spiffe://${domain}/ns/shop/sa/c%61rt`),
    id('query', `${good}?x=y`),
    id('fragment', `${good}#x`),
    id('upper-case account', `spiffe://${domain}/ns/shop/sa/Cart`),
    id('space', `spiffe://${domain}/ns/shop/sa/ca rt`),
    id('backslash', `spiffe://${domain}/ns/shop\\sa/cart`),
    id('line feed at the end', `${good}\n`),
    id('NUL byte at the end', `${good}\0`),
    id('NUL byte and another name', `${good}\0.example`),
    id('non-ASCII', `spiffe://${domain}/ns/shop/sa/c\xe4rt`),
    id('over-long', `spiffe://${domain}/ns/shop/sa/${'a'.repeat(2100)}`),
  ]
}

function badUsages(fixture: CraftFixture): readonly BadCertificate[] {
  const usage = (name: string, keyUsage: Asn1 | readonly Asn1[] | undefined, refusedBy: SvidRefusalCode = 'key-usage'): BadCertificate =>
    leaf(fixture, name, refusedBy, { extensions: { keyUsage } })
  const extended = (name: string, extendedKeyUsage: Asn1 | readonly Asn1[] | undefined, side?: 'client' | 'server'): BadCertificate =>
    leaf(fixture, name, 'extended-key-usage', { extensions: { extendedKeyUsage } }, side)
  return [
    leaf(fixture, 'CA:TRUE', 'leaf-is-ca', { extensions: { constraints: authorityConstraints() } }),
    leaf(fixture, 'CA:FALSE written out', 'malformed-certificate', { extensions: { constraints: extension(oids.basicConstraints, true, sequence(boolean(false))) } }),
    leaf(fixture, 'CA:TRUE written as 1', 'malformed-certificate', { extensions: { constraints: extension(oids.basicConstraints, true, sequence(raw(1, '\x01'))) } }),
    leaf(fixture, 'path length without CA', 'malformed-certificate', { extensions: { constraints: extension(oids.basicConstraints, true, sequence(unsigned(Buffer.from([0])))) } }),
    leaf(fixture, 'basic constraints twice', 'duplicate-extension', { extensions: { constraints: [endEntityConstraints(), endEntityConstraints()] } }),
    usage('no key usage', undefined),
    usage('key usage not critical', usages(0x80, 7, false)),
    usage('no digitalSignature', usages(0x08, 3)),
    usage('keyCertSign', usages(0x84, 2)),
    usage('cRLSign', usages(0x82, 1)),
    usage('key usage without a bit', usages(0x00, 7), 'malformed-certificate'),
    usage('key usage padded', usages(0x80, 0), 'malformed-certificate'),
    usage('key usage twice', [usages(0x80, 7), usages(0x84, 2)], 'duplicate-extension'),
    extended('no extended key usage', undefined),
    extended('server only, as a client', extendedUsages(oids.serverAuth), 'client'),
    extended('client only, as a server', extendedUsages(oids.clientAuth), 'server'),
    extended('any extended key usage', extendedUsages(oids.anyExtendedKeyUsage)),
    extended('code signing', extendedUsages(oids.codeSigning)),
    leaf(fixture, 'unknown critical extension', 'unknown-critical-extension', { extensions: { more: extension(oids.unknown, true, utf8('x')) } }),
    leaf(fixture, 'critical name constraints', 'unknown-critical-extension', { extensions: { more: extension(oids.nameConstraints, true, sequence()) } }),
  ]
}

function badKeysAndTimes(fixture: CraftFixture): readonly BadCertificate[] {
  const { nowMs } = fixture
  const digits = new Date(nowMs + day).toISOString().slice(0, 19).replace(/[-T:]/g, '')
  return [
    leaf(fixture, 'RSA-1024 key', 'weak-key', { key: rsaKey() }),
    leaf(fixture, 'P-384 key', 'weak-key', { key: newKey('secp384r1') }),
    leaf(fixture, 'secp256k1 key', 'weak-key', { key: newKey('secp256k1') }),
    leaf(fixture, 'Ed25519 key', 'weak-key', { key: generateKeyPairSync('ed25519').privateKey }),
    leaf(fixture, 'expired', 'expired', { notBefore: time(nowMs - 2 * day), notAfter: time(nowMs - 1000) }),
    leaf(fixture, 'not yet valid', 'not-yet-valid', { notBefore: time(nowMs + day), notAfter: time(nowMs + 2 * day) }),
    leaf(fixture, 'valid from its end to its start', 'not-yet-valid', { notBefore: time(nowMs + day), notAfter: time(nowMs - day) }),
    leaf(fixture, 'GeneralizedTime before 2050', 'malformed-certificate', { notAfter: generalizedTime(`${digits}Z`) }),
    leaf(fixture, 'time with an offset', 'malformed-certificate', { notAfter: raw(23, `${digits.slice(2)}+0000`) }),
    leaf(fixture, 'time without seconds', 'malformed-certificate', { notAfter: raw(23, `${digits.slice(2, 12)}Z`) }),
    leaf(fixture, 'day that does not exist', 'malformed-certificate', { notAfter: raw(23, '490231000000Z') }),
    leaf(fixture, 'SHA-1 signature', 'weak-signature', { signWith: 'ecdsaSha1' }),
  ]
}

function badChains(fixture: CraftFixture): readonly BadCertificate[] {
  const { root, nowMs } = fixture
  const below = (name: string, refusedBy: SvidRefusalCode, issuer: Party, above: readonly Buffer[] = [], usage?: 'client' | 'server'): BadCertificate =>
    chain(fixture, name, refusedBy, [craftSvid(fixture, { issuer }), issuer.der, ...above], undefined, usage)
  const authority = (craft: Craft = {}): Party => craftAuthority(fixture, 'intermediate', { issuer: root, ...craft })
  const good = authority()
  const limited = authority({ extensions: { constraints: authorityConstraints(0) } })
  const tooDeep = craftAuthority(fixture, 'too deep', { issuer: limited })
  const foreign = craftAuthority(fixture, 'another root')
  const imposterKey = newKey()
  const workload: Party = { name: commonName('workload'), key: fixture.leafKey, publicKey: publicKeyOf(fixture.leafKey), der: craftSvid(fixture, { subject: commonName('workload') }) }
  const self = { name: commonName('self'), key: fixture.leafKey, publicKey: publicKeyOf(fixture.leafKey) }
  const long: Party[] = [authority()]
  while (long.length < maxChainLength) long.unshift(craftAuthority(fixture, `level ${long.length}`, { issuer: long[0] ?? root }))
  return [
    chain(fixture, 'another root', 'unknown-issuer', [craftSvid(fixture, { issuer: foreign })]),
    chain(fixture, 'another root, sent along', 'unknown-issuer', [craftSvid(fixture, { issuer: foreign }), foreign.der]),
    chain(fixture, 'another root with our root\'s name', 'unknown-issuer', [craftSvid(fixture, { issuer: { name: root.name, key: imposterKey, publicKey: publicKeyOf(imposterKey) } })]),
    chain(fixture, 'another root with our root\'s name and key identifier', 'bad-signature', [craftSvid(fixture, { issuer: { ...root, key: imposterKey } })]),
    chain(fixture, 'self-signed', 'unknown-issuer', [craftSvid(fixture, { issuer: self, subject: self.name })]),
    chain(fixture, 'intermediate left out', 'unknown-issuer', [craftSvid(fixture, { issuer: good })]),
    chain(fixture, 'intermediates in the wrong order', 'unknown-issuer', [craftSvid(fixture, { issuer: long[1] ?? root }), ...[long[2], long[1]].map((each) => each?.der ?? root.der)]),
    below('issued by a workload', 'invalid-issuer', workload),
    below('intermediate without CA', 'invalid-issuer', authority({ extensions: { constraints: endEntityConstraints() } })),
    below('intermediate without basic constraints', 'invalid-issuer', authority({ extensions: { constraints: undefined } })),
    below('intermediate without keyCertSign', 'invalid-issuer', authority({ extensions: { keyUsage: usages(0x80, 7) } })),
    below('intermediate without key usage', 'invalid-issuer', authority({ extensions: { keyUsage: undefined } })),
    below('path length exceeded', 'invalid-issuer', tooDeep, [limited.der]),
    below('intermediate expired', 'invalid-issuer', authority({ notBefore: time(nowMs - 2 * day), notAfter: time(nowMs - 1000) })),
    below('intermediate not yet valid', 'invalid-issuer', authority({ notBefore: time(nowMs + day), notAfter: time(nowMs + 2 * day) })),
    below('intermediate with an unknown critical extension', 'invalid-issuer', authority({ extensions: { more: extension(oids.unknown, true, utf8('x')) } })),
    below('intermediate with name constraints', 'invalid-issuer', authority({ extensions: { more: extension(oids.nameConstraints, false, sequence()) } })),
    below('intermediate for servers only, as a client', 'invalid-issuer', authority({ extensions: { usages: extendedUsages(oids.serverAuth) } }), [], 'client'),
    below('intermediate with an RSA-1024 key', 'weak-key', authority({ key: rsaKey() })),
    below('intermediate with a SHA-1 signature', 'weak-signature', authority({ signWith: 'ecdsaSha1' })),
    below('intermediate with a broken signature', 'bad-signature', authority({ signature: broken })),
    chain(fixture, 'SVID below an intermediate with a broken signature', 'bad-signature', [craftSvid(fixture, { issuer: good, signature: broken }), good.der]),
    chain(fixture, 'chain too long', 'chain-too-long', [craftSvid(fixture, { issuer: long[0] ?? root }), ...long.map((each) => each.der)]),
  ]
}

function badEncodings(fixture: CraftFixture): readonly BadCertificate[] {
  const good = craftSvid(fixture)
  const bytes = (name: string, der: Buffer, refusedBy: SvidRefusalCode = 'malformed-certificate'): BadCertificate => chain(fixture, name, refusedBy, [der])
  const crafted = (name: string, craft: Craft, refusedBy: SvidRefusalCode = 'malformed-certificate'): BadCertificate => leaf(fixture, name, refusedBy, craft)
  const pemInside = `\n${pem(good)}`
  return [
    bytes('trailing byte', Buffer.concat([good, Buffer.from([0])])),
    bytes('followed by another certificate', Buffer.concat([good, good])),
    bytes('cut off', good.subarray(0, -1)),
    bytes('indefinite length', indefinite(good)),
    bytes('length with a leading zero', Buffer.concat([Buffer.from([0x30, 0x83, 0]), good.subarray(2)])),
    bytes('tampered name', Buffer.from(good.toString('latin1').replace('/sa/cart', '/sa/root'), 'latin1'), 'bad-signature'),
    bytes('over-long certificate', craftSvid(fixture, { subject: commonName('x'.repeat(20_000)) })),
    crafted('another certificate in PEM inside', { issuer: { name: fixture.root.name, key: newKey(), publicKey: fixture.root.publicKey }, subject: commonName(pemInside) }),
    crafted('broken signature', { signature: broken }, 'bad-signature'),
    crafted('signature of another hash than said', { signWith: 'ecdsaSha384', saysSignedWith: 'ecdsaSha256' }),
    crafted('signature with unused bits', { signature: (signature) => bits(signature, 1) }),
    crafted('version 1', { version: [] }),
    crafted('version 2', { version: [explicit(0, unsigned(Buffer.from([1])))] }),
    crafted('no extensions', { extensions: { constraints: undefined, keyUsage: undefined, extendedKeyUsage: undefined, subjectKeyIdentifier: undefined, authorityKeyIdentifier: undefined, names: undefined } }),
    crafted('negative serial number', { serial: raw(2, '\xff') }),
    crafted('serial number 0', { serial: raw(2, '\0') }),
    crafted('serial number of 21 bytes', { serial: raw(2, '\x01'.repeat(21)) }),
    crafted('trailing bytes in the subject alternative name', { extensions: { names: rawNames((der) => Buffer.concat([der, Buffer.from([5, 0])])) } }),
    crafted('indefinite length in the subject alternative name', { extensions: { names: rawNames(indefinite) } }),
    crafted('long form of a short length in the subject alternative name', { extensions: { names: rawNames((der) => Buffer.concat([Buffer.from([0x30, 0x81]), der.subarray(1)])) } }),
    crafted('key identifier of another issuer', { extensions: { authorityKeyIdentifier: authorityKeyIdentifier(keyIdentifier(publicKeyOf(fixture.leafKey))) } }, 'unknown-issuer'),
  ]

  function rawNames(change: (der: Buffer) => Buffer): Asn1 {
    const der = encode(sequence(uri(`spiffe://${fixture.trustDomain}/ns/shop/sa/cart`)))
    return sequence(oid('2.5.29.17'), boolean(true), raw(4, change(der).toString('latin1')))
  }
}

/** Still two numbers in DER, but not those that the key made. */
function broken(signature: Buffer): Asn1 {
  const copy = Buffer.from(signature)
  copy.writeUInt8((copy.at(-1) ?? 0) ^ 1, copy.length - 1)
  return bits(copy)
}

function pem(der: Buffer): string {
  return toPem('CERTIFICATE', der)
}

function pkcs8(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}
