import { Document, stringify } from 'yaml'

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
