import type { RequestHead } from '../compiled.ts'

/** A value of the request by which matches are indexed. */
export interface Lookup {
  /** The same for all lookups that read the same value: `header x-user`. */
  readonly id: string
  readonly read: (head: RequestHead) => string | undefined
  readonly value: string
}
