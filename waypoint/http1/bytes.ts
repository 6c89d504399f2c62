/** Bits of `byteClass`. */
export const tokenByte = 1
export const valueByte = 2
export const targetByte = 4

export const CR = 13
export const LF = 10
export const SP = 32
export const HTAB = 9
export const COLON = 58

/**
 * What each byte may be part of: `tokenByte` a method or field name (RFC 9110 §5.6.2), `valueByte` a field value (§5.5: HTAB, SP,
 * visible ASCII, obs-text), `targetByte` a request target (visible ASCII but for `#`: a fragment never travels, RFC 9112 §3.2).
 */
export const byteClass: Uint8Array = classify()

function classify(): Uint8Array {
  const table = new Uint8Array(256)
  for (let byte = 0; byte < 256; byte++) {
    const char = String.fromCharCode(byte)
    let bits = 0
    if (/[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(char)) bits |= tokenByte
    if (byte === HTAB || (byte >= 0x20 && byte <= 0x7e) || byte >= 0x80) bits |= valueByte
    if (byte >= 0x21 && byte <= 0x7e && char !== '#') bits |= targetByte
    table[byte] = bits
  }
  return table
}

/** Whether `text` is a token of RFC 9110. */
export function isToken(text: string): boolean {
  return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(text)
}
