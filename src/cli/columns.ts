import { printable } from '../kit/printable.ts'
import type { Paint } from './io.ts'

/** Rows under a head, in columns as wide as what is in them. Empty fields are dashes; what others wrote can not move the cursor. */
export function columns(head: readonly string[], rows: readonly (readonly (string | number | undefined)[])[], paint: Paint): string {
  const cells = rows.map((row) => row.map((cell) => (cell === undefined || cell === '' ? '-' : printable(String(cell)))))
  const widths = head.map((title, at) => Math.max(title.length, ...cells.map((row) => row[at]?.length ?? 0)))
  const line = (row: readonly string[]): string => row.map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0))).join('   ')
  return [paint('bold', line(head)), ...cells.map(line)].map((each) => `${each}\n`).join('')
}

/** A time span as people read it: `45s`, `12m`, `5h30m`, `3d4h`. @param seconds may be negative: `-5s` */
export function formatAge(seconds: number | undefined): string | undefined {
  if (seconds === undefined || !Number.isFinite(seconds)) return undefined
  if (seconds < 0) return `-${formatAge(-seconds) ?? ''}`
  const [minutes, hours, days] = [Math.floor(seconds / 60), Math.floor(seconds / 3600), Math.floor(seconds / 86_400)]
  if (seconds < 120) return `${Math.floor(seconds)}s`
  if (minutes < 120) return `${minutes}m`
  if (hours < 48) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`
  return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`
}
