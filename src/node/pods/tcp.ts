/** FIN_WAIT1, LAST_ACK, CLOSING: closed on this side, and not all of it is acknowledged. */
const closing: ReadonlySet<string> = new Set(['04', '09', '0B'])

/** Of segments that nobody answers, after which nobody is there: some twelve seconds. A slow reader answers at once. */
const mostRepeats = 6

/**
 * Whether a socket of a namespace is closed and still has something to send, to somebody who answers.
 * @param table `net/tcp` or `net/tcp6`. Source: Linux, Documentation/networking/proc_net_tcp.rst
 */
export function hasUnsent(table: string): boolean {
  return table.split('\n').some((line) => {
    const [, , , state = '', queues = '', , repeats = ''] = line.trim().split(/\s+/)
    return closing.has(state) && !queues.startsWith('00000000:') && parseInt(repeats, 16) < mostRepeats
  })
}
