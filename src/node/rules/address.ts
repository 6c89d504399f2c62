import { isIPv4, isIPv6 } from 'node:net'

/** An address as it stands on the wire: 4 or 16 bytes. @throws TypeError if `text` is not an IP address literal, or has a zone (`%eth0`) */
export function addressBytes(text: string): Buffer {
  if (isIPv4(text)) return Buffer.from(text.split('.').map(Number))
  if (!isIPv6(text) || text.includes('%')) throw new TypeError(`${text} is not an IP address`)
  const [head = '', tail] = text.split('::')
  const first = groupsOf(head)
  const last = groupsOf(tail ?? '')
  return Buffer.from([...first, ...new Array<number>(16 - first.length - last.length).fill(0), ...last])
}

/** Bytes of `a:b:1.2.3.4`; none for an empty text. */
function groupsOf(text: string): readonly number[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number)
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 0xff]
  })
}

/** The opposite of `addressBytes`, of 4 or 16 bytes, written as Node writes addresses: the longest run of zeros short, `::ffff:` left out before IPv4. */
export function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  if (mapped.equals(bytes.subarray(0, 12))) return bytes.subarray(12).join('.')
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2))
  let start = 0
  let length = 0
  for (let from = 0; from < 8; from++) {
    let to = from
    while (to < 8 && groups[to] === 0) to++
    if (to - from > length && to - from > 1) [start, length] = [from, to - from]
  }
  const write = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':')
  return length === 0 ? write(groups) : `${write(groups.slice(0, start))}::${write(groups.slice(start + length))}`
}

const mapped = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])
