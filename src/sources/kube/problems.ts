import { gatewayApiVersion } from '../../../crds/load.ts'
import { kinds, policyGroup, type ResourceKind } from '../../api/resources.ts'
import type { WatchProblem } from './list-watch.ts'

/** How to install the CRDs that the mesh is made for; `--server-side`, because they are too great for an annotation. */
const installCrds = `kubectl apply --server-side -f https://github.com/kubernetes-sigs/gateway-api/releases/download/${gatewayApiVersion}/standard-install.yaml`

/** How to install or update the CRDs of the mesh's own kinds. */
export const installOwnCrds = 'waymark install --apply, or kubectl apply --server-side -f crds/waymark'

/** From so many failed tries on, a fault that usually mends itself is worth a line. */
const worthALine = 3

/** Whether a problem needs somebody to do something, or has lasted for some tries. */
export function isWorthALine({ reason, failures }: WatchProblem): boolean {
  return reason === 'missing' || reason === 'forbidden' || reason === 'unauthorized' || failures >= worthALine
}

/** A problem in words, with what to do about it. @param optional whether the mesh works without the kind */
export function describeProblem(kind: ResourceKind, problem: WatchProblem, optional: boolean): string {
  const { group, plural, versions } = kinds[kind]
  const name = group === '' ? plural : `${plural}.${group}`
  switch (problem.reason) {
    case 'missing': {
      const advice =
        group === 'gateway.networking.k8s.io' ? `install the CRDs of Gateway API: ${installCrds}`
        : group === policyGroup ? `install the mesh's own CRDs: ${installOwnCrds}`
        : 'use a Kubernetes that serves it'
      const effect = !optional ? '' : group === policyGroup ? '; nobody can write such policies' : '; such routes have no effect'
      return `${kind}: the cluster serves no ${name} in ${versions.join(', ')}${effect}; ${advice}`
    }
    case 'forbidden': {
      const rule = `{apiGroups: ["${group}"], resources: ["${plural}"], verbs: ["get", "list", "watch"]}`
      return `${kind}: ${name} may not be listed and watched (${problem.message}); add this rule to the controller's ClusterRole, or install the chart again: ${rule}`
    }
    case 'unauthorized':
      return `${kind}: the API server does not accept the credentials (${problem.message}); check the service account's token or the kubeconfig`
    default:
      return `${kind}: out of touch with the API server (${problem.message}); what was seen last stays in force, it is tried again`
  }
}
