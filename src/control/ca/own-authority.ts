import { X509Certificate, createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { CaError } from '../../../ca/errors.ts'
import { issueSvid } from '../../../ca/issue.ts'
import { loadAuthority, randomSerial, type Authority } from '../../../ca/root.ts'
import { messageOf } from '../../kit/message.ts'
import type { KubeObject } from '../../kube/object.ts'
import { certificatesInPem, checkSvid, parseTrustBundle } from '../../transport/svid.ts'
import { dataOf } from './secret-store.ts'

/** What a Secret of the user's gives as the mesh's CA. */
export type OwnAuthority =
  | { readonly kind: 'good'; readonly authority: Authority }
  /** Names the field and what to do. */
  | { readonly kind: 'bad'; readonly problem: string }

/** The part of a Secret that is wrong, and how. */
class Wrong extends Error {}

/**
 * Reads a CA out of a Secret of type `kubernetes.io/tls`, shaped as cert-manager shapes it: `tls.crt` the CA's certificate and, for an intermediate,
 * those between it and the root, with or without the root; `tls.key` its key (PKCS #8, PKCS #1 or SEC1, not encrypted); `ca.crt` the one root, which
 * may be missing if `tls.crt` ends with it.
 *
 * Accepted is what every peer of the mesh accepts, and nothing else: P-256, P-384, P-521 or RSA from 2048 bits, signed with SHA-256 or longer, CA flag and
 * keyCertSign, path lengths that allow the chain, no name constraints, all of it valid now. It is tried by signing.
 * @param path how to call the Secret
 */
export function ownAuthority(secret: KubeObject | undefined, path: string, { trustDomain, nowMs }: { readonly trustDomain: string; readonly nowMs: number }): OwnAuthority {
  try {
    const authority = read(secret)
    const problem = tried(authority, trustDomain, nowMs)
    if (problem !== undefined) throw new Wrong(`tls.crt: peers would refuse what it signs: ${problem}`)
    return { kind: 'good', authority }
  } catch (error) {
    if (error instanceof Wrong) return { kind: 'bad', problem: `${path}: ${error.message}` }
    if (error instanceof CaError) return { kind: 'bad', problem: `${path}: tls.crt: ${error.message}; ${error.advice}` }
    throw error
  }

  function read(object: KubeObject | undefined): Authority {
    if (object === undefined) throw new Wrong('it does not exist: create it with the CA\'s certificate and key, or let the mesh make its own root')
    if (object['type'] !== 'kubernetes.io/tls') throw new Wrong(`type: must be kubernetes.io/tls, and is ${JSON.stringify(object['type'])}`)
    const certificates = certificatesOf(object, 'tls.crt')
    const root = rootOf(object, certificates)
    const between = certificates.filter((each) => each.fingerprint256 !== root.fingerprint256)
    const chain = [...between, root]
    for (const each of chain) checkTime(each, between.includes(each) ? 'tls.crt' : 'ca.crt', nowMs)
    const key = keyOf(object)
    if (chain[0]?.checkPrivateKey(key) !== true) throw new Wrong('tls.key: it does not belong to the first certificate of tls.crt')
    return loadAuthority({ rootPem: root.toString(), intermediatesPem: between.map(String).join(''), privateKeyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString() })
  }
}

function textOf(secret: KubeObject, field: string): string | undefined {
  const value = dataOf(secret)[field]
  return value === undefined || value === '' ? undefined : Buffer.from(value, 'base64').toString()
}

function certificatesOf(secret: KubeObject, field: string): readonly X509Certificate[] {
  const text = textOf(secret, field)
  if (text === undefined) throw new Wrong(`${field}: it is missing`)
  try {
    return certificatesInPem(text).map((der) => new X509Certificate(der))
  } catch (error) {
    throw new Wrong(`${field}: ${messageOf(error)}`, { cause: error })
  }
}

function rootOf(secret: KubeObject, certificates: readonly X509Certificate[]): X509Certificate {
  const isRoot = (each: X509Certificate): boolean => each.checkIssued(each) && each.verify(each.publicKey)
  if (textOf(secret, 'ca.crt') === undefined) {
    const last = certificates.at(-1)
    if (last === undefined || !isRoot(last)) throw new Wrong('ca.crt: it is missing, and tls.crt does not end with a self-signed root: put the root there')
    return last
  }
  const [root, ...more] = certificatesOf(secret, 'ca.crt')
  if (root === undefined || more.length > 0) throw new Wrong('ca.crt: must hold exactly one certificate, the root')
  if (!isRoot(root)) throw new Wrong('ca.crt: must be the self-signed root; certificates between it and the CA\'s own belong into tls.crt')
  return root
}

function keyOf(secret: KubeObject): KeyObject {
  const text = textOf(secret, 'tls.key')
  if (text === undefined) throw new Wrong('tls.key: it is missing')
  try {
    return createPrivateKey(text)
  } catch (error) {
    throw new Wrong('tls.key: it is not a private key in PEM without a password', { cause: error })
  }
}

function checkTime(certificate: X509Certificate, field: string, nowMs: number): void {
  if (nowMs < certificate.validFromDate.getTime()) throw new Wrong(`${field}: valid from ${certificate.validFromDate.toISOString()} only`)
  if (nowMs > certificate.validToDate.getTime()) throw new Wrong(`${field}: expired at ${certificate.validToDate.toISOString()}: renew it`)
}

/** Why peers would refuse the SVIDs of an authority: one is signed for nobody and judged. */
function tried(authority: Authority, trustDomain: string, nowMs: number): string | undefined {
  const publicKey = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey.export({ type: 'spki', format: 'der' })
  const identity = { trustDomain, namespace: 'trial', serviceAccount: 'trial' }
  const leaf = issueSvid(authority, { identity, publicKey, notBeforeMs: nowMs - 1000, notAfterMs: nowMs + 60_000, serial: randomSerial() })
  try {
    const bundle = parseTrustBundle([authority.rootPem])
    const chain = [leaf, ...(authority.intermediatesPem === '' ? [] : certificatesInPem(authority.intermediatesPem))]
    for (const usage of ['client', 'server'] as const) {
      const verdict = checkSvid(chain, bundle, { trustDomain, nowMs, usage })
      if (!verdict.ok) return `${verdict.message}; ${verdict.advice}`
    }
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}
