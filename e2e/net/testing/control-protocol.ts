import type { KubeObject } from '../../../src/kube/object.ts'
import type { ObjectName } from '../../../test/simulated/api-server.ts'

/** What the control plane's process can be told to do, and what it answers: one JSON line each way. */
export interface ControlOperations {
  /** Makes or replaces objects, status and all; the answer are their uids. */
  readonly put: { readonly spec: readonly KubeObject[]; readonly result: readonly string[] }
  readonly get: { readonly spec: ObjectName; readonly result: KubeObject | undefined }
  readonly list: { readonly spec: { readonly kind: string; readonly namespace?: string }; readonly result: readonly KubeObject[] }
  readonly delete: { readonly spec: ObjectName; readonly result: boolean }
  /** A token for the mesh's CA that is bound to a pod. */
  readonly token: { readonly spec: { readonly namespace: string; readonly name: string }; readonly result: string }
  /** The mesh's roots, PEM. */
  readonly bundle: { readonly spec: Readonly<Record<string, never>>; readonly result: string }
}

export type ControlOperation = keyof ControlOperations

/** To the operation with that id; 0: it is ready. */
export interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly failed?: string
}
