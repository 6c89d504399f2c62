import { messageOf } from '../kit/message.ts'
import { KubeError } from '../kube/errors.ts'

/** What a failed write means. */
export type Failure =
  /** The object has changed since it was read. */
  | { readonly kind: 'conflict' }
  /** The object is not there any more. */
  | { readonly kind: 'gone' }
  /** It may do next time. */
  | { readonly kind: 'passing'; readonly message: string; readonly afterMs: number; readonly unauthorized: boolean }
  /** Somebody must do something first. */
  | { readonly kind: 'refused'; readonly message: string; readonly advice: string; readonly aboutContent: boolean }

/** Judges what a write or a read for it threw. */
export function judge(error: unknown): Failure {
  if (!(error instanceof KubeError)) {
    return { kind: 'passing', message: messageOf(error), afterMs: 0, unauthorized: false }
  }
  const { status, message } = error
  switch (status) {
    case 404:
      return { kind: 'gone' }
    case 409:
      return { kind: 'conflict' }
    case 403:
      return { kind: 'refused', message, advice: 'the service account lacks this permission: waymark check names what is missing', aboutContent: false }
    case 400:
    case 413:
    case 422:
      return {
        kind: 'refused', message, aboutContent: true,
        advice: 'the CRDs may be of another version than this mesh, or an admission policy is in the way: waymark check tells which versions there are',
      }
    default:
      return { kind: 'passing', message, afterMs: error.retryAfterMs ?? 0, unauthorized: status === 401 }
  }
}
