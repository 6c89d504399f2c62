export type CaErrorCode = keyof typeof caErrors

/** Everything that the CA refuses, with what to do about it. The codes are stable. */
export const caErrors = {
  'bad-public-key': 'send the public half of a new P-256 key as SubjectPublicKeyInfo in PEM (BEGIN PUBLIC KEY); nothing else of a request is read',
  'bad-identity': 'trust domain, namespace and service account are lower-case letters, digits, dots and dashes; the trust domain is the CA\'s own',
  'bad-authority': 'give a CA certificate with keyCertSign, its own private key, and, for an intermediate, every certificate up to a self-signed root',
  'authority-expired': 'no certificate can outlive its root: rotate the root (introduce, sign, retire); data planes go on with what they hold',
  'rotation-order': 'a root rotates in the order introduce, sign, retire; the message names the step that is next',
  'rotation-too-early': 'wait, so that every process got the new bundle or a new certificate; force the step only if you know that all have',
  'store-corrupt': 'restore the file, or in a cluster the Secret, from a backup. Delete it only if the whole mesh may distrust itself until each process has fetched anew',
  'store-lost': 'restore the Secret from a backup. To begin a new mesh identity instead, which no running process trusts, delete the ConfigMap that remembers the former root as well',
  'store-changed': 'restore the Secret as it was, or delete it while a controller runs: the leader puts the CA that it has in memory back. Nothing but the controller may change its data',
  'store-foreign': 'point the CA at its own directory, or at an empty one to make a new root there',
  'store-open': 'keys in it must be taken as known to others. If they are not, run chmod 600 on the file; else rotate the root after that',
  'store-mismatch': 'a trust domain can not be changed in place: use the former name, or another directory for a new mesh',
} as const

/** What the CA refuses and why. */
export class CaError extends Error {
  readonly code: CaErrorCode
  /** What the reader can do next. */
  readonly advice: string
  constructor(code: CaErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.advice = caErrors[code]
  }
}
