/** Cuts a stream of bytes into lines. Bytes, not text: a character may be cut in two by the network. */
export interface LineSplitter {
  /** The lines that are complete now. @throws RangeError if a line gets longer than the limit */
  readonly push: (chunk: Buffer) => readonly string[]
}

const newline = 0x0a

/** @param maxBytes limit of one line, without which a line that never ends would fill the memory */
export function lineSplitter(maxBytes: number): LineSplitter {
  let parts: Buffer[] = []
  let length = 0
  return {
    push: (chunk) => {
      const lines: string[] = []
      let from = 0
      for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, from)) {
        const rest = chunk.subarray(from, end)
        const line = parts.length === 0 ? rest : Buffer.concat([...parts, rest])
        parts = []
        length = 0
        from = end + 1
        if (line.length > 0) lines.push(line.toString())
      }
      if (from < chunk.length) {
        length += chunk.length - from
        if (length > maxBytes) throw new RangeError(`a line is longer than ${maxBytes} bytes`)
        parts.push(chunk.subarray(from))
      }
      return lines
    },
  }
}
