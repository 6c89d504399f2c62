/** Headers that belong to one connection and so are never passed on. Source: RFC 9110 §7.6.1. */
const hopByHop = new Set(['connection', 'keep-alive', 'proxy-connection', 'proxy-authenticate', 'proxy-authorization', 'te', 'transfer-encoding', 'upgrade'])

/**
 * Whether a header claims an identity: only the mesh sets such ones. Many application servers read `_` in a name as `-`.
 * @param name in lower case
 */
export function claimsIdentity(name: string): boolean {
  return name.replaceAll('_', '-') === 'x-forwarded-client-cert'
}

/**
 * The end-to-end headers of a message.
 * @param raw name, value, name, value, … as Node's `rawHeaders`
 * @returns in the same form, order and spelling; without what `Connection` names and without claims of identity
 */
export function endToEndHeaders(raw: readonly string[]): string[] {
  const named = new Set<string>()
  for (let at = 0; at + 1 < raw.length; at += 2) {
    if (raw[at]?.toLowerCase() === 'connection') for (const name of (raw[at + 1] ?? '').split(',')) named.add(name.trim().toLowerCase())
  }
  const kept: string[] = []
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? ''
    const lower = name.toLowerCase()
    if (!hopByHop.has(lower) && !named.has(lower) && !claimsIdentity(lower)) kept.push(name, raw[at + 1] ?? '')
  }
  return kept
}
