import { install } from '../model/install.ts'
import { formatSpiffeId } from '../model/identity.ts'

/** How a process in a pod joins the mesh of its cluster. */
export interface MemberOptions {
  readonly trustDomain: string
  readonly controller: { readonly host: string; readonly port: number }
  /** SPIFFE id; undefined: the controller of an installation in its usual namespace. */
  readonly controllerId?: string | undefined
  readonly tokenFile: string
  readonly bundleFile: string
  /** Directory private to the pod. */
  readonly state: string
}

/** The SPIFFE id that must answer at the controller's address. */
export function controllerIdOf({ controllerId, trustDomain }: Pick<MemberOptions, 'controllerId' | 'trustDomain'>): string {
  return controllerId ?? formatSpiffeId({ trustDomain, namespace: install.namespace, serviceAccount: install.controller })
}
