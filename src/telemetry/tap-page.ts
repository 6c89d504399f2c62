import type { ServerResponse } from 'node:http'
import type { Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import type { StreamedPage } from './server.ts'
import { decodeTapFilter } from './tap-filter.ts'
import type { TapSource } from './tap.ts'

/** Onlookers of one process at a time. */
const mostOnlookers = 4
/** Lines a second for each: what is asked for, within these. */
export const tapRates = { usual: 100, most: 1_000 } as const
/** Bytes that wait for a slow onlooker; beyond them the ring keeps the newest lines. */
const waitingBytes = 256 * 1024
/** So often an onlooker that is gone without a word is found out, milliseconds. */
const aliveMs = 10_000

/**
 * Shows what a process does while somebody looks on: a line of JSON for each request and connection that fits the query, see `TapFilter`, and for
 * how many were dropped. The first line says who speaks; empty lines mean nothing.
 * @param process who speaks
 */
export function tapPage(source: TapSource, clock: Clock, process: string): StreamedPage {
  let onlookers = 0
  return (query, response) => {
    const refuse = (status: number, text: string): void => {
      response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(text)
    }
    let filter
    try {
      filter = decodeTapFilter(query)
    } catch (error) {
      refuse(400, `${messageOf(error)}\n`)
      return
    }
    if (onlookers >= mostOnlookers) {
      refuse(503, `${mostOnlookers} others look on already\n`)
      return
    }
    onlookers++
    response.writeHead(200, { 'content-type': 'application/jsonl', 'cache-control': 'no-store' })
    response.write(`${JSON.stringify({ kind: 'tapping', process })}\n`)
    const stop = source.subscribe({ filter, rate: rateOf(query) }, {
      write: (lines, dropped) => {
        const all = dropped === 0 ? lines : [...lines, JSON.stringify({ kind: 'dropped', count: dropped })]
        response.write(all.map((line) => `${line}\n`).join(''))
      },
      ready: () => response.writableLength < waitingBytes,
    })
    const cancelAlive = keepAlive(response, clock)
    response.on('error', () => {})
    response.once('close', () => {
      onlookers--
      cancelAlive()
      stop()
    })
  }
}

function rateOf(query: URLSearchParams): number {
  const asked = Number(query.get('rate') ?? tapRates.usual)
  return Number.isFinite(asked) ? Math.max(1, Math.min(tapRates.most, Math.floor(asked))) : tapRates.usual
}

function keepAlive(response: ServerResponse, clock: Clock): () => void {
  let cancel = (): void => {}
  const next = (): void => {
    cancel = clock.after(aliveMs, () => {
      if (response.writableLength < waitingBytes) response.write('\n')
      next()
    })
  }
  next()
  return () => cancel()
}
