import type { ServedKind } from './kinds.ts'
import type { ApiRequest } from './requests.ts'

/** Answers the paths that are not about objects: versions, health, groups and their kinds; undefined for all others, and for groups without kinds. */
export function answerGroups({ path, method }: ApiRequest, kinds: Iterable<ServedKind>): object | undefined {
  if (method !== 'GET') return undefined
  const all = [...kinds]
  const parts = path.split('/').filter((part) => part !== '')
  switch (parts[0]) {
    case 'version':
      return { major: '1', minor: '36', gitVersion: 'v1.36.0', platform: 'linux/amd64' }
    case 'healthz':
    case 'livez':
    case 'readyz':
      return {}
    case 'api':
      if (parts.length === 1) return { kind: 'APIVersions', versions: ['v1'] }
      return parts.length === 2 ? resourceList(all, '', parts[1] ?? '') : undefined
    case 'apis':
      if (parts.length === 1) return { kind: 'APIGroupList', apiVersion: 'v1', groups: [...new Set(all.map(({ group }) => group))].filter((group) => group !== '').map((group) => groupOf(all, group)) }
      if (parts.length === 2) return all.some(({ group }) => group === parts[1]) ? { kind: 'APIGroup', apiVersion: 'v1', ...groupOf(all, parts[1] ?? '') } : undefined
      return parts.length === 3 ? resourceList(all, parts[1] ?? '', parts[2] ?? '') : undefined
    default:
      return undefined
  }
}

function groupOf(kinds: readonly ServedKind[], group: string): object {
  const versions = [...new Set(kinds.filter((kind) => kind.group === group).flatMap((kind) => kind.versions))].map((version) => ({ groupVersion: `${group}/${version}`, version }))
  return { name: group, versions, preferredVersion: versions[0] }
}

function resourceList(kinds: readonly ServedKind[], group: string, version: string): object | undefined {
  const served = kinds.filter((kind) => kind.group === group && kind.versions.includes(version))
  if (served.length === 0) return undefined
  const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: group === '' ? version : `${group}/${version}`,
    resources: served.flatMap(({ plural, kind, namespaced, status }) => [
      { name: plural, singularName: kind.toLowerCase(), namespaced, kind, verbs },
      ...(status ? [{ name: `${plural}/status`, singularName: '', namespaced, kind, verbs: ['get', 'patch', 'update'] }] : []),
    ]),
  }
}
