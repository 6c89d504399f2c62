import { meshNamespaces } from '../../control/cluster.ts'
import { install } from '../../model/install.ts'
import { namespacedName } from '../../model/refs.ts'
import type { Translation } from '../../translate/options.ts'
import type { LiveCluster } from '../live.ts'
import type { MeshFacts } from '../mesh/facts.ts'
import { count, failure, ok, some, warning, type Line } from './report.ts'

const day = 86_400_000
/** How much of a root's life must be left, milliseconds. */
const noticeMs = 30 * day
/** How late a step of a rotation may come, milliseconds. */
const lateMs = 600_000

/** Whether the CA is whole, its roots are valid, and every namespace of the mesh has them. */
export function judgeCertificates({ ca }: Pick<MeshFacts, 'ca'>, live: Pick<LiveCluster, 'resources' | 'problems'>, { infra }: Pick<Translation, 'infra'>, namespace: string, nowMs: number): readonly Line[] {
  if (ca === undefined) {
    return [failure(`no CA has told of itself (ConfigMap ${namespace}/${install.bundleConfigMap})`, `does a controller lead? See kubectl -n ${namespace} logs deployment/${install.controller}`)]
  }
  const [ending, problems] = [ca.problems.filter(isEnding), ca.problems.filter((each) => !isEnding(each))]
  const lines: Line[] = problems.length === 0
    ? [ok(`the CA of ${ca.trustDomain} is whole`)]
    : [failure('the CA has problems', `see waymark ca status, and kubectl -n ${namespace} logs deployment/${install.controller}`, problems)]
  const rotate = ca.ownSecret === undefined ? 'waymark ca rotate replaces it without an interruption' : `put the next one into Secret ${namespace}/${ca.ownSecret}`
  const signing = ca.roots.find((each) => each.signs) ?? ca.roots[0]
  const leftMs = (signing?.notAfterMs ?? 0) - nowMs
  const until = signing === undefined ? 'an unknown time' : at(signing.notAfterMs)
  if (leftMs <= 0) lines.push(failure(`the root ended at ${until}: no certificate is trusted any more`, rotate, ending))
  else if (leftMs < noticeMs || ending.length > 0) lines.push(warning(`the root is valid until ${until}`, rotate, ending))
  else lines.push(ok(`the root is valid until ${until}`))
  if (ca.phase === 'steady') lines.push(ok(`no rotation is under way (generation ${ca.generation})`))
  else if (ca.next !== undefined && nowMs - ca.next.atMs > lateMs) {
    lines.push(warning(`a rotation hangs: the step "${ca.next.step}" was due at ${at(ca.next.atMs)}`, 'does a controller lead? See waymark ca status'))
  } else lines.push(ok(`a rotation is under way (to generation ${ca.generation + 1}): ${ca.phase}`))
  return [...lines, judgeBundles(live, infra, namespace)]
}

function at(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')
}

function isEnding(problem: string): boolean {
  return /^the CA's certificate .* (?:ends|ended) at /.test(problem)
}

function judgeBundles({ resources, problems }: Pick<LiveCluster, 'resources' | 'problems'>, infra: Translation['infra'], namespace: string): Line {
  if (problems.some(({ kind }) => kind === 'ConfigMap' || kind === 'Namespace')) {
    return warning('whether every namespace of the mesh has the roots can not be looked at', 'use a context whose user may list configmaps and namespaces in all namespaces')
  }
  const bundleIn = (each: string): string | undefined => resources.ConfigMap.get(namespacedName(each, install.bundleConfigMap))?.data?.[install.bundleKey]
  const wanted = bundleIn(namespace)
  const members = [...meshNamespaces(resources, infra)].sort()
  const missing = members.filter((each) => bundleIn(each) === undefined)
  const other = members.filter((each) => bundleIn(each) !== undefined && bundleIn(each) !== wanted)
  if (missing.length + other.length === 0) return ok(members.length === 0 ? 'no namespace needs the roots yet' : `${count(members.length, 'namespace')} of the mesh ${members.length === 1 ? 'has' : 'have'} the roots`)
  return failure(`ConfigMap ${install.bundleConfigMap} is not as it should be: pods there can not start, or trust the wrong roots`,
    `the controller that leads puts it right within seconds; if it does not, see kubectl -n ${namespace} logs deployment/${install.controller}`,
    some([...missing.map((each) => `${each}: it is not there`), ...other.map((each) => `${each}: it holds other roots`)]))
}
