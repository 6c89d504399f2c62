import type {
  CorsFilter,
  HeaderModifier,
  HttpRouteFilter,
  MirrorFilter,
  NameValue,
  PathModifierSpec,
  RedirectFilter,
} from '../api/routes.ts'
import type { Filter, HeaderEdits, PathModifier } from '../model/route.ts'
import { mirrorTarget } from './backends.ts'
import { problem, type RuleDraft } from './rules.ts'

type FilterType = HttpRouteFilter['type']
const grpcFilters: ReadonlySet<FilterType> = new Set<FilterType>([
  'RequestHeaderModifier',
  'ResponseHeaderModifier',
  'RequestMirror',
  'ExtensionRef',
])

/**
 * The filters of a rule or of a backendRef, in their order. One that this mesh does not have, or that refers to something
 * unknown, becomes `unresolved`: requests get 500, for a filter is never skipped.
 */
export function filtersOf(draft: RuleDraft, specs: readonly HttpRouteFilter[] | undefined): readonly Filter[] {
  return (specs ?? []).map((spec) => filterOf(draft, spec))
}

/** Notes combinations that Gateway API forbids: a redirect beside a rewrite or beside backends never forwards what they say. */
export function checkCombination(
  draft: RuleDraft,
  filters: readonly Filter[],
  backends: readonly { readonly filters: readonly Filter[] }[],
  allPrefixes: boolean,
): void {
  const has = (list: readonly Filter[], kind: Filter['kind']): boolean => list.some((filter) => filter.kind === kind)
  const ofBackends = backends.flatMap((backend) => backend.filters)
  const all = [...filters, ...ofBackends]
  if (has(all, 'redirect')) {
    if (has(all, 'rewrite')) draft.faults.push('RequestRedirect and URLRewrite exclude each other')
    if (backends.length > 0) draft.faults.push('RequestRedirect and backendRefs exclude each other')
  }
  if (!allPrefixes && all.some((filter) => (filter.kind === 'redirect' || filter.kind === 'rewrite') && filter.path?.type === 'prefix')) {
    draft.faults.push('ReplacePrefixMatch needs matches by PathPrefix only')
  }
}

function filterOf(draft: RuleDraft, spec: HttpRouteFilter): Filter {
  if (draft.id.routeKind === 'GRPCRoute' && !grpcFilters.has(spec.type)) return unresolved(draft, `a GRPCRoute has no filter ${spec.type}`)
  switch (spec.type) {
    case 'RequestHeaderModifier':
      return { kind: 'request-headers', ...headerEdits(spec.requestHeaderModifier) }
    case 'ResponseHeaderModifier':
      return { kind: 'response-headers', ...headerEdits(spec.responseHeaderModifier) }
    case 'RequestRedirect':
      return redirect(draft, spec.requestRedirect ?? {})
    case 'URLRewrite': {
      const { hostname, path } = spec.urlRewrite ?? {}
      return { kind: 'rewrite', ...(hostname === undefined ? {} : { hostname }), ...pathOf(path) }
    }
    case 'RequestMirror':
      return spec.requestMirror === undefined ? unresolved(draft, 'RequestMirror names no backend') : mirror(draft, spec.requestMirror)
    case 'CORS':
      return cors(spec.cors ?? {})
    case 'ExtensionRef': {
      const { group = '', kind = '', name = '' } = spec.extensionRef ?? {}
      return unresolved(draft, `ExtensionRef ${group}/${kind} ${name} is of no kind that this mesh knows`)
    }
    case 'ExternalAuth':
    default:
      return unresolved(draft, `filter ${spec.type} is not supported`)
  }
}

function unresolved(draft: RuleDraft, detail: string): Filter {
  problem(draft, 'InvalidKind', `${detail}; requests that should pass it get 500`)
  return { kind: 'unresolved', detail }
}

function headerEdits(spec: HeaderModifier | undefined): HeaderEdits {
  return {
    set: pairs(spec?.set ?? []),
    add: pairs(spec?.add ?? []),
    remove: [...new Set((spec?.remove ?? []).map((name) => name.toLowerCase()))],
  }
}

/** Of headers that differ only in case, the first counts. Source: HTTPHeader.name. */
function pairs(list: readonly NameValue[]): readonly (readonly [string, string])[] {
  const found = new Map<string, string>()
  for (const { name, value } of list) {
    if (!found.has(name.toLowerCase())) found.set(name.toLowerCase(), value)
  }
  return [...found]
}

function redirect(draft: RuleDraft, spec: RedirectFilter): Filter {
  const { scheme, hostname, port, path, statusCode = 302 } = spec
  const status = statusOf(statusCode)
  if (status === undefined) draft.faults.push(`RequestRedirect statusCode ${statusCode} is none of 301, 302, 303, 307, 308`)
  const knownScheme = scheme === 'http' || scheme === 'https' ? scheme : undefined
  if (scheme !== undefined && knownScheme === undefined) draft.faults.push(`RequestRedirect scheme ${scheme} is neither http nor https`)
  return {
    kind: 'redirect',
    ...(knownScheme === undefined ? {} : { scheme: knownScheme }),
    ...(hostname === undefined ? {} : { hostname }),
    ...(port === undefined ? {} : { port }),
    ...pathOf(path),
    status: status ?? 302,
  }
}

function statusOf(code: number): 301 | 302 | 303 | 307 | 308 | undefined {
  return code === 301 || code === 302 || code === 303 || code === 307 || code === 308 ? code : undefined
}

function pathOf(spec: PathModifierSpec | undefined): { readonly path?: PathModifier } {
  if (spec === undefined) return {}
  return {
    path:
      spec.type === 'ReplaceFullPath'
        ? { type: 'full', value: spec.replaceFullPath ?? '' }
        : { type: 'prefix', value: spec.replacePrefixMatch ?? '' },
  }
}

function mirror(draft: RuleDraft, spec: MirrorFilter): Filter {
  const { percent, fraction } = spec
  const numerator = fraction?.numerator ?? percent ?? 1
  const denominator = fraction === undefined ? (percent === undefined ? 1 : 100) : (fraction.denominator ?? 100)
  if (fraction !== undefined && percent !== undefined) draft.faults.push('RequestMirror has both percent and fraction')
  if (denominator <= 0 || numerator < 0 || numerator > denominator) {
    draft.faults.push(`RequestMirror share ${numerator}/${denominator} is not between 0 and 1`)
  }
  return { kind: 'mirror', target: mirrorTarget(draft, spec.backendRef), numerator, denominator }
}

function cors(spec: CorsFilter): Filter {
  return {
    kind: 'cors',
    allowOrigins: spec.allowOrigins ?? [],
    allowCredentials: spec.allowCredentials ?? false,
    allowMethods: spec.allowMethods ?? [],
    allowHeaders: spec.allowHeaders ?? [],
    exposeHeaders: spec.exposeHeaders ?? [],
    maxAge: spec.maxAge ?? 5,
  }
}
