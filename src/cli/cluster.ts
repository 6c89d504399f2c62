import type { Clock } from '../kit/clock.ts'
import { printable } from '../kit/printable.ts'
import type { createKubeClient, KubeClient } from '../kube/client.ts'
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
    io.say(`waymark ${verb}: ${describeFailure(error)}`)
    return exitCodes.failed
  } finally {
    if (access.client === undefined) client?.close()
  }
}

/** @throws if there is no such kubeconfig or context */
export async function openCluster(choice: KubeChoice): Promise<KubeClient> {
  const [{ createKubeClient }, load] = await Promise.all([import('../kube/client.ts'), loader(choice)])
  return createKubeClient(load)
}

/** Ports of the cluster's pods, as the same kubeconfig gives access to them. */
export async function openPodPorts(choice: KubeChoice): Promise<PodPorts> {
  const [{ createPodPorts }, load] = await Promise.all([import('../kube/port-forward.ts'), loader(choice)])
  return createPodPorts(load)
}

async function loader({ kubeconfig, context }: KubeChoice): Promise<Parameters<typeof createKubeClient>[0]> {
  const { loadKubeConfig } = await import('../kube/config.ts')
  return () => {
    try {
      const config = loadKubeConfig({ kubeconfig, context })
      // What the library makes up where there is none.
      if (config.getCurrentCluster()?.server === 'http://localhost:8080' && config.getCurrentUser()?.name === 'user') throw new Error('the kubeconfig is missing: there is none in the usual places; give one with --kubeconfig, or set KUBECONFIG')
      return config
    } catch (error) {
      // A reader of YAML says what is wrong, and not where.
      if (!(error instanceof Error) || 'code' in error || error.message.startsWith('the kubeconfig')) throw error
      throw new Error(`the kubeconfig${kubeconfig === undefined ? '' : ` ${kubeconfig}`} can not be read: ${error.message}`, { cause: error })
    }
  }
}

/** What went wrong with the cluster and what to do about it, in one line. */
export function describeFailure(error: unknown): string {
  const advice = adviceFor(error)
  return printable(describe(error).replaceAll(/\s*\n\s*/g, ' ')) + (advice === '' ? '' : `; ${advice}`)
}

/** What to do about an error; '' if its message says all there is. */
export function adviceFor(error: unknown): string {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '--kubeconfig or KUBECONFIG must name a file that is there'
  if (!(error instanceof KubeError)) return ''
  if (error.status === 0) return 'is the cluster up, and is it the right context? See kubectl config get-contexts'
  if (error.status === 401) return 'the kubeconfig\'s user is not known to the cluster any more: log in again'
  return error.status === 403 ? 'ask for that right, or use a context whose user has it' : ''
}
