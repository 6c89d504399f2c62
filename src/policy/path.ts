import { compilePattern } from '../kit/regex.ts'
import type { PolicyPath } from '../model/policy.ts'
import type { Certainty } from './attributes.ts'

/** A test of a path in its normal form, without the query. */
export type PathTest = (path: string) => boolean

/**
 * Compiles a path of a policy. The path that is judged is the one that is forwarded, but what a server makes of it differs: some drop
 * `;parameters`, some decode twice, some take `/Admin`, `/admin/` or `/admin.` for `/admin`. What leads to a denial fits if one of these
 * readings does; what leads to a permission fits only if the path fits as it stands and in the reading that goes furthest.
 */
export function compilePath({ type, value }: PolicyPath, certainty: Certainty): PathTest {
  if (type === 'regex') {
    const { test } = compilePattern(value)
    if (certainty === 'possibly') return (path) => looseReadings(path).some(test)
    return (path) => test(path) && (isPlain(path) || test(deepReading(path)))
  }
  const fits = type === 'exact' ? (path: string, wanted: string): boolean => path === wanted : hasPrefix
  const asWritten = normalValue(value)
  if (certainty === 'possibly') {
    const wanted = new Set([asWritten, deepReading(asWritten)].map((each) => withoutSlash(each.toLowerCase())))
    return (path) => looseReadings(path).some((reading) => [...wanted].some((each) => fits(withoutSlash(reading), each)))
  }
  const bare = type === 'exact' ? asWritten : withoutSlash(asWritten)
  const deep = deepReading(bare)
  return (path) => fits(path, bare) && (isPlain(path) || fits(deepReading(path), deep))
}

/** Whether `path` begins with the whole segments of `prefix`. */
function hasPrefix(path: string, prefix: string): boolean {
  return prefix === '/' || (path.startsWith(prefix) && (path.length === prefix.length || path.charAt(prefix.length) === '/'))
}

/** Whether there is but one way to read a path in normal form. */
function isPlain(path: string): boolean {
  return !path.includes('%') && !path.includes(';')
}

/** All that a server may take a path for, in lower case and as it is. */
function looseReadings(path: string): readonly string[] {
  const readings = new Set([path, path.toLowerCase()])
  if (!isPlain(path)) {
    for (const reading of [withoutParameters(path), deepReading(path)]) readings.add(reading).add(reading.toLowerCase())
  }
  // Servers on Windows drop spaces and dots at the end of a name.
  for (const reading of [...readings]) if (/[ .](?:\/|$)/.test(reading)) readings.add(reading.replaceAll(/[ .]+(?=\/|$)/g, ''))
  for (const reading of [...readings]) readings.add(withoutSlash(reading))
  return [...readings]
}

function withoutSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
}

function withoutParameters(path: string): string {
  return path.replaceAll(/;[^/]*/g, '')
}

/** Decoded until nothing is left to decode, without parameters, empty and dot segments. */
function deepReading(path: string): string {
  if (!path.startsWith('/')) return path
  let text = path
  for (let before = ''; before !== text;) {
    before = text
    text = text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  }
  // Some servers end a path at a NUL.
  text = (text.split('\0')[0] ?? '').replaceAll('\\', '/')
  const segments: string[] = []
  let open = false
  for (const segment of withoutParameters(text).split('/').slice(1)) {
    open = segment === '' || segment === '.' || segment === '..'
    if (segment === '..') segments.pop()
    else if (!open) segments.push(segment)
  }
  return segments.length === 0 ? '/' : `/${segments.join('/')}${open ? '/' : ''}`
}

/** A path as people write it, with the escapes that the normal form has. */
function normalValue(value: string): string {
  return value.replaceAll(/%([0-9A-Fa-f]{2})/g, (escape, hex: string) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16))
    return /[A-Za-z0-9\-._~]/.test(character) ? character : escape.toUpperCase()
  })
}
