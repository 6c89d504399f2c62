import type { HeaderList } from '../exchange.ts'

/**
 * The value of a header: repeated lines are joined with `,` (`cookie` with `; `), as if the sender had written one line.
 * @param name in lower case
 * @returns undefined if the header is absent
 * Source: RFC 9110 §5.2, RFC 9113 §8.2.3.
 */
export function headerValue(headers: HeaderList, name: string): string | undefined {
  let value: string | undefined
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at] !== name) continue
    const next = headers[at + 1] ?? ''
    value = value === undefined ? next : `${value}${separatorOf(name)}${next}`
  }
  return value
}

/** Replaces every line of the header by one, in the place of the first. */
export function setHeader(headers: HeaderList, name: string, value: string): void {
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at] !== name) continue
    headers[at + 1] = value
    removeFrom(headers, name, at + 2)
    return
  }
  headers.push(name, value)
}

/**
 * Adds to the header's value: `a` becomes `a,b` on its last line, so that the order of all values is kept. `set-cookie` gets a line
 * of its own, for its values may hold commas.
 * Source: HTTPHeaderFilter "add"; RFC 9110 §5.3.
 */
export function addHeader(headers: HeaderList, name: string, value: string): void {
  if (name !== 'set-cookie') {
    for (let at = headers.length - 2; at >= 0; at -= 2) {
      if (headers[at] !== name) continue
      const before = headers[at + 1] ?? ''
      headers[at + 1] = before === '' ? value : `${before}${separatorOf(name)}${value}`
      return
    }
  }
  headers.push(name, value)
}

/** Removes every line of the header. */
export function removeHeader(headers: HeaderList, name: string): void {
  removeFrom(headers, name, 0)
}

function removeFrom(headers: HeaderList, name: string, from: number): void {
  let kept = from
  for (let at = from; at < headers.length; at += 2) {
    if (headers[at] === name) continue
    if (kept !== at) {
      headers[kept] = headers[at] ?? ''
      headers[kept + 1] = headers[at + 1] ?? ''
    }
    kept += 2
  }
  headers.length = kept
}

function separatorOf(name: string): string {
  return name === 'cookie' ? '; ' : ','
}
