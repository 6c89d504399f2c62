import type { Clock } from '../kit/clock.ts'
import type { KubeClient } from '../kube/client.ts'
import type { KubeChoice } from '../kube/config.ts'
import { KubeError } from '../kube/errors.ts'
import type { PodPorts } from '../kube/port-forward.ts'
import { describe } from './describe.ts'
import { exitCodes, type Io } from './io.ts'

/** What a verb needs of the outside; tests give their own. */
export interface ClusterAccess {
  readonly client?: KubeClient
  readonly clock?: Clock
}

/** Opens the cluster for a verb, and tells failures in one line. @returns the exit code */
export async function withCluster(choice: KubeChoice, access: ClusterAccess, io: Io, verb: string, run: (client: KubeClient) => Promise<number>): Promise<number> {
  let client: KubeClient | undefined
  try {
    client = access.client ?? (await openCluster(choice))
    return await run(client)
  } catch (error) {
    io.say(`waymark ${verb}: ${describeFailure(error, client?.server)}`)
    return exitCodes.failed
  } finally {
    if (access.client === undefined) client?.close()
  }
}

/** @throws if there is no such kubeconfig or context */
export async function openCluster({ kubeconfig, context }: KubeChoice): Promise<KubeClient> {
  const [{ createKubeClient }, { loadKubeConfig }] = await Promise.all([import('../kube/client.ts'), import('../kube/config.ts')])
  return createKubeClient(() => loadKubeConfig({ kubeconfig, context }))
}

/** Ports of the cluster's pods, as the same kubeconfig gives access to them. */
export async function openPodPorts({ kubeconfig, context }: KubeChoice): Promise<PodPorts> {
  const [{ createPodPorts }, { loadKubeConfig }] = await Promise.all([import('../kube/port-forward.ts'), import('../kube/config.ts')])
  return createPodPorts(() => loadKubeConfig({ kubeconfig, context }))
}

/** What went wrong with the cluster and what to do about it, in one line. @param server its address, if it is known */
export function describeFailure(error: unknown, server?: string): string {
  return `${describe(error)}${adviceFor(error, server)}`
}

/** The address that the library takes where there is no kubeconfig at all. */
const noKubeconfig = 'http://localhost:8080'

function adviceFor(error: unknown, server: string | undefined): string {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '; --kubeconfig or KUBECONFIG must name a file that is there'
  if (!(error instanceof KubeError)) return ''
  if (error.status === 0 && server === noKubeconfig) return '; there is no kubeconfig: give one with --kubeconfig, or set KUBECONFIG'
  if (error.status === 0) return '; is the cluster up, and is it the right context? See kubectl config get-contexts'
  if (error.status === 401) return '; the kubeconfig\'s user is not known to the cluster any more: log in again'
  return error.status === 403 ? '; this verb needs the rights of a cluster administrator' : ''
}
