import type { DetailedPeerCertificate, TLSSocket } from 'node:tls'
import { formatSpiffeId } from '../model/identity.ts'
import type { Identity } from '../model/identity.ts'
import { checkSvid } from './svid.ts'
import type { TrustBundle } from './svid.ts'

/** Who is at the other end of a TLS connection, and how we know. */
export interface VerifiedPeer {
  readonly identity: Identity
  /** SPIFFE id. */
  readonly id: string
  /** What it showed, leaf first, DER, without the root. */
  readonly chain: readonly Buffer[]
  /** Milliseconds since the epoch: when its certificate ends. */
  readonly notAfterMs: number
}

export type PeerVerdict =
  | { readonly ok: true; readonly peer: VerifiedPeer }
  | { readonly ok: false; readonly code: string; readonly message: string }

export interface PeerCheck {
  readonly bundle: TrustBundle
  readonly trustDomain: string
  /** Milliseconds since the epoch. */
  readonly nowMs: number
  /** What the peer uses its certificate for. */
  readonly usage: 'client' | 'server'
  /**
   * Our own intermediates, DER, lowest first. Node 24.21 and 26.8 lose those that a client sent (nodejs/node#65579); peers of one
   * mesh mostly have the same, and a chain that does not fit is refused.
   */
  readonly intermediates?: readonly Buffer[]
}

/** Judges the certificate that the peer of `socket` showed in a completed handshake. */
export function verifyPeer(socket: TLSSocket, check: PeerCheck): PeerVerdict {
  if (!socket.authorized) return { ok: false, code: 'untrusted', message: 'the certificate does not chain to a root of the bundle' }
  const sent = peerChain(socket)
  const known = [...sent.slice(0, 1), ...(check.intermediates ?? [])]
  let refusal: PeerVerdict | undefined
  for (const chain of [sent, known]) {
    const verdict = checkSvid(chain, check.bundle, check)
    if (verdict.ok) {
      const { identity, notAfterMs } = verdict
      return { ok: true, peer: { identity, id: formatSpiffeId(identity), chain, notAfterMs } }
    }
    refusal ??= verdict
    if (verdict.code !== 'unknown-issuer') break
  }
  return refusal ?? { ok: false, code: 'no-certificate', message: 'the peer showed no certificate' }
}

/** Whether a peer that was good once still is: its certificate has not ended and its root is still in the bundle. */
export function stillTrusted(peer: VerifiedPeer, check: PeerCheck): boolean {
  return checkSvid(peer.chain, check.bundle, check).ok
}

/** The certificates that the peer showed, leaf first. Node ends the list with the root from our own store: that one is left out. */
function peerChain(socket: TLSSocket): Buffer[] {
  const chain: Buffer[] = []
  // Node's types promise fields that are missing when there is no certificate at all.
  let certificate: Partial<DetailedPeerCertificate> | undefined = socket.getPeerCertificate(true)
  while (certificate?.raw !== undefined) {
    const issuer: Partial<DetailedPeerCertificate> | undefined = certificate.issuerCertificate
    const selfSigned: boolean = issuer === certificate || issuer?.raw?.equals(certificate.raw) === true
    if (!selfSigned || chain.length === 0) chain.push(certificate.raw)
    certificate = selfSigned ? undefined : issuer
  }
  return chain
}
