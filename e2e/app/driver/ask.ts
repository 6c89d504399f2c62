import { requests } from './http.ts'

/**
 * What a person sees of some requests: one answer in full, or how often each pod and status came.
 * @param headers `NAME:VALUE`
 */
export async function ask(url: string, count: number, headers: readonly string[]): Promise<string> {
  if (!URL.canParse(url)) return `usage: ask [-n COUNT] [-H NAME:VALUE] http://SERVICE.NAMESPACE:PORT/PATH\n`
  const sent = Object.fromEntries(headers.map((header) => [header.slice(0, header.indexOf(':')), header.slice(header.indexOf(':') + 1).trim()]))
  const replies = await requests({ url, count, concurrency: Math.min(4, count), headers: sent })
  const [first] = replies
  if (count === 1 && first !== undefined) {
    const lines = Object.entries(first.headers ?? {}).flatMap(([name, values]) => values.map((value) => `${name}: ${value}`))
    return `${first.status} (${Math.round(first.ms)} ms)${first.error === undefined ? '' : ` ${first.error}`}\n${lines.join('\n')}\n\n${first.body ?? ''}\n`
  }
  const counts = new Map<string, number>()
  for (const { status, reason, error, pod } of replies) {
    const line = [status, pod ?? reason ?? error ?? ''].join(' ').trimEnd()
    counts.set(line, (counts.get(line) ?? 0) + 1)
  }
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([line, number]) => `${String(number).padStart(6)} × ${line}\n`).join('')
}
