import { Document, stringify } from 'yaml'

/** One YAML document per value, or one JSON value. */
export type DataFormat = 'yaml' | 'json'

/** `value` as JSON, two spaces deep, with its line end. */
export function toJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}

/** `value` as one YAML document; nothing is folded, nothing is an alias. */
export function toYaml(value: unknown): string {
  return stringify(plainOf(value), { lineWidth: 0, aliasDuplicateObjects: false })
}

/** Several YAML documents, parted by `---`. */
export function toYamlDocuments(values: readonly unknown[]): string {
  return values.map((value) => new Document(plainOf(value), { aliasDuplicateObjects: false }).toString({ lineWidth: 0 })).join('---\n')
}

/** Without the properties that are undefined, which JSON leaves out and YAML would show as null. */
function plainOf(value: unknown): unknown {
  const text = JSON.stringify(value) as string | undefined
  return text === undefined ? undefined : JSON.parse(text)
}

/** Rows as columns that line up, two spaces between them; the last one is as wide as it is. */
export function toColumns(rows: readonly (readonly string[])[], indent = ''): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))
  return rows.map((row) => `${indent}${row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join('  ')}`.trimEnd() + '\n').join('')
}
