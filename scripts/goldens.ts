import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { renderGolden } from '../src/translate/testing/golden.ts'

// Writes the golden outputs of `src/translate/testdata` anew. Read the difference before you commit it: a wrong golden is worse than none.
const directory = join(import.meta.dirname, '../src/translate/testdata')

if (process.argv[2] !== '--update') {
  console.error('usage: node scripts/goldens.ts --update')
  process.exit(2)
}
for (const input of globSync('**/*.in.yaml', { cwd: directory }).sort()) {
  const output = join(directory, input.replace('.in.yaml', '.out.yaml'))
  const text = renderGolden(readFileSync(join(directory, input), 'utf8'))
  writeFileSync(output, text)
}
