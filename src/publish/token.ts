import { readFile } from 'node:fs/promises'
import { messageOf } from '../kit/message.ts'
import { parseSpiffeId, type Identity } from '../model/identity.ts'
import { maxTokenBytes } from './messages.ts'

/** What a projected token says about the pod that it was made for. */
export interface TokenClaims {
  readonly identity: Identity
  /** Name of the pod; undefined if the token is not bound to one. */
  readonly pod: string | undefined
}

/**
 * Reads the projected token of this pod, anew each time, for the kubelet replaces it.
 * @throws if there is none, with advice
 */
export async function readToken(file: string): Promise<string> {
  const text = (await readFile(file, 'utf8').catch((error: unknown) => {
    throw new Error(`the token can not be read: ${messageOf(error)}; mount a projected serviceAccountToken with our audience there`)
  })).trim()
  if (text === '' || Buffer.byteLength(text) > maxTokenBytes) throw new Error(`${file} holds no token: it is ${text === '' ? 'empty' : 'too large'}`)
  return text
}

/**
 * Whose token it is, by its own claims. They are not verified: good for one's own token only.
 * @throws if it is not a service account's token
 * Source: Kubernetes service account tokens, private claims `kubernetes.io`.
 */
export function claimsOfToken(token: string, trustDomain: string): TokenClaims {
  const parts = token.trim().split('.')
  let claims: Record<string, unknown> = {}
  try {
    claims = record(JSON.parse(Buffer.from(parts[1] ?? '', 'base64url').toString()))
  } catch {
    // Said below.
  }
  const own = record(claims['kubernetes.io'])
  const namespace = own['namespace']
  const serviceAccount = record(own['serviceaccount'])['name']
  const pod = record(own['pod'])['name']
  const id = `spiffe://${trustDomain}/ns/${typeof namespace === 'string' ? namespace : ''}/sa/${typeof serviceAccount === 'string' ? serviceAccount : ''}`
  const identity = parts.length === 3 ? parseSpiffeId(id) : undefined
  if (identity === undefined) throw new Error('this is not a projected token of a service account: mount one with our audience, or name the workload')
  return { identity, pod: typeof pod === 'string' ? pod : undefined }
}

/** The identity in `claimsOfToken`. @throws as that */
export function identityOfToken(token: string, trustDomain: string): Identity {
  return claimsOfToken(token, trustDomain).identity
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
