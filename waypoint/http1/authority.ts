import { isIPv6 } from 'node:net'

const pattern = /^(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?$/

/**
 * Reads a `Host` value or the authority of an absolute-form target.
 * @returns it in lower case, or undefined if it is empty or holds user information, white space, a path, a bad port, or anything
 * that no DNS name or IP address has (RFC 9110 allows more in a reg-name; nothing that a mesh resolves uses it)
 */
export function parseAuthority(text: string): string | undefined {
  const found = pattern.exec(text)
  if (found === null) return undefined
  if (found[1] !== undefined && Number(found[1]) > 65535) return undefined
  if (text.startsWith('[') && !isIPv6(text.slice(1, text.indexOf(']')))) return undefined
  return text.toLowerCase()
}
