import type { Readable } from 'node:stream'

/**
 * All bytes of `stream` to its end; rejects if it breaks before. Unlike node:stream/consumers and `for await` it never destroys the
 * stream: those do so with half-open connections on some releases of Node (not 24.19 to 24.21; 22.19 and 26.10 do).
 */
export function readToEnd(stream: Readable): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.once('end', () => resolve(Buffer.concat(chunks)))
    stream.once('error', reject)
    stream.once('close', () => reject(new Error('the stream was closed before its end')))
    if (stream.destroyed) reject(stream.errored ?? new Error('the stream was destroyed'))
  })
}
