import type { Entry } from '../connect/entry.ts'

/** What both ways into a mesh need. */
export interface ConnectContext {
  readonly host: string
  readonly port: number
  /** Ends the wait for a controller. */
  readonly signal: AbortSignal
  readonly say: (line: string) => void
}

export interface RunningEntry {
  readonly entry: Entry
  /** Leaves the controller; to be called when the entry is closed. */
  readonly close: () => Promise<void>
}
