/** A request target in its normal form: what is matched is what is forwarded. */
export interface NormalTarget {
  readonly path: string
  /** With its `?`, or ''. */
  readonly query: string
}

/** A target that has no one meaning; `refused` says why, for the answer 400. */
export interface RefusedTarget {
  readonly refused: string
}

const slash = 0x2f
const dot = 0x2e
const percent = 0x25
const question = 0x3f

/** What stands for itself in a path: RFC 3986 `pchar` without `%`, and `/`. Everything else takes the slow way. */
const plain = byteTable("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/")
/** What is never percent-encoded in the normal form. Source: RFC 3986 §2.3. */
const unreserved = byteTable('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~')

const strictUtf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * Brings a request target to its one normal form, or refuses it, so that no rule is judged on another spelling than the one the
 * backend sees. A path that is clean already comes back as it is after one scan.
 *
 * - Normalised: `.` and `..` segments (also as `%2e`) are resolved, runs of `/` become one, percent-encoded unreserved characters
 *   are decoded, other escapes get upper-case hex, characters that may not stand in a path (`|`, `"`, `<`, …) are encoded.
 * - Refused: controls, spaces and bytes above 0x7e in the raw; encoded controls; encoded slashes `%2F` and `%5C` and raw `\`, which
 *   servers read differently; broken escapes and escapes that are not UTF-8 (overlong ones too); `..` above the root; dot segments
 *   with parameters (`..;x`), which servlet containers resolve; a fragment; anything that does not start with `/`, but `*`.
 * - The query is data and is kept byte by byte; only controls, spaces, bytes above 0x7e and `#` are refused in it.
 *
 * @param target origin form or `*`, one character per byte
 * Source: RFC 3986 §6.2.2; Envoy's path normalisation, stricter where it leaves a choice.
 */
export function normaliseTarget(target: string): NormalTarget | RefusedTarget {
  if (target === '*') return { path: target, query: '' }
  if (target.charCodeAt(0) !== slash) return { refused: 'the target does not start with /' }
  let end = target.length
  let clean = true
  let before = 0
  for (let at = 0; at < end; at++) {
    const code = target.charCodeAt(at)
    if (code === question) {
      end = at
      break
    }
    if (plain[code] !== 1 || (before === slash && (code === slash || code === dot))) clean = false
    before = code
  }
  const wrong = end === target.length ? undefined : queryProblem(target, end + 1)
  if (wrong !== undefined) return { refused: wrong }
  if (clean) return end === target.length ? { path: target, query: '' } : { path: target.slice(0, end), query: target.slice(end) }
  const path = normalisePath(target.slice(0, end))
  return typeof path === 'string' ? { path, query: target.slice(end) } : path
}

function queryProblem(target: string, from: number): string | undefined {
  for (let at = from; at < target.length; at++) {
    const code = target.charCodeAt(at)
    if (code <= 0x20 || code >= 0x7f) return 'the query holds a control character, a space or a byte above 0x7e'
    if (code === 0x23) return 'the target holds a fragment'
  }
  return undefined
}

function normalisePath(raw: string): string | RefusedTarget {
  const segments: string[] = []
  let open = false
  for (let from = 1; from <= raw.length; ) {
    const found = raw.indexOf('/', from)
    const end = found === -1 ? raw.length : found
    const segment = normaliseSegment(raw.slice(from, end))
    if (typeof segment !== 'string') return segment
    // Whether the path ends in a slash: it does after an empty or a dot segment.
    open = segment === '' || segment === '.' || segment === '..'
    if (segment === '..') {
      if (segments.pop() === undefined) return { refused: 'the path leaves its root' }
    } else if (segment.startsWith('.;') || segment.startsWith('..;')) {
      return { refused: 'a dot segment carries parameters' }
    } else if (!open) {
      segments.push(segment)
    }
    from = end + 1
  }
  return segments.length === 0 ? '/' : `/${segments.join('/')}${open ? '/' : ''}`
}

function normaliseSegment(raw: string): string | RefusedTarget {
  let text = ''
  let highBytes: number[] = []
  for (let at = 0; at < raw.length; at++) {
    const code = raw.charCodeAt(at)
    if (code !== percent) {
      if (code <= 0x20 || code === 0x7f) return { refused: 'the path holds a control character or a space' }
      if (code > 0x7f) return { refused: 'the path holds a byte above 0x7e that is not percent-encoded' }
      if (code === 0x5c) return { refused: 'the path holds a backslash' }
      if (code === 0x23) return { refused: 'the target holds a fragment' }
      text += plain[code] === 1 ? raw.charAt(at) : escaped(code)
    } else {
      const byte = hexByte(raw, at + 1)
      if (byte === undefined) return { refused: 'the path holds a % that is not followed by two hexadecimal digits' }
      if (byte < 0x20 || byte === 0x7f) return { refused: 'the path holds an encoded control character' }
      if (byte === slash || byte === 0x5c) return { refused: 'the path holds an encoded slash or backslash' }
      text += unreserved[byte] === 1 ? String.fromCharCode(byte) : escaped(byte)
      at += 2
      if (byte >= 0x80) {
        highBytes.push(byte)
        continue
      }
    }
    if (highBytes.length > 0) {
      if (!isUtf8(highBytes)) return { refused: 'the path holds escapes that are not UTF-8' }
      highBytes = []
    }
  }
  return highBytes.length > 0 && !isUtf8(highBytes) ? { refused: 'the path holds escapes that are not UTF-8' } : text
}

function isUtf8(bytes: readonly number[]): boolean {
  try {
    strictUtf8.decode(Uint8Array.from(bytes))
    return true
  } catch {
    return false
  }
}

function escaped(byte: number): string {
  return `%${byte < 0x10 ? '0' : ''}${byte.toString(16).toUpperCase()}`
}

function hexByte(text: string, at: number): number | undefined {
  const high = hexDigit(text.charCodeAt(at))
  const low = hexDigit(text.charCodeAt(at + 1))
  return high === undefined || low === undefined ? undefined : high * 16 + low
}

function hexDigit(code: number): number | undefined {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : undefined
}

/** 1 for every character of `members`; reading past its end gives undefined, which is "not a member". */
function byteTable(members: string): Uint8Array {
  const table = new Uint8Array(128)
  for (let at = 0; at < members.length; at++) table[members.charCodeAt(at)] = 1
  return table
}
