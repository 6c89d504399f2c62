import { existsSync } from 'node:fs'
import { KubeConfig } from '@kubernetes/client-node'

/** Which cluster to talk to. */
export interface KubeChoice {
  /** A kubeconfig file; undefined: as kubectl finds it, or what a pod was given. */
  readonly kubeconfig?: string | undefined
  /** A context of it; undefined: the current one. */
  readonly context?: string | undefined
}

/**
 * Reads the configuration as kubectl does: the given file, `KUBECONFIG`, `~/.kube/config`, else the pod's own service account.
 * @throws if there is none, or the context is not in it
 */
export function loadKubeConfig({ kubeconfig, context }: KubeChoice = {}): KubeConfig {
  const config = new KubeConfig()
  if (kubeconfig !== undefined) config.loadFromFile(kubeconfig)
  else if ((process.env['KUBECONFIG'] ?? '') === '' && existsSync('/var/run/secrets/kubernetes.io/serviceaccount/token')) config.loadFromCluster()
  else config.loadFromDefault()
  if (context !== undefined) {
    if (config.getContextObject(context) === null) {
      throw new Error(`the kubeconfig has no context ${context}; it has ${config.getContexts().map(({ name }) => name).join(', ') || 'none'}`)
    }
    config.setCurrentContext(context)
  }
  return config
}
