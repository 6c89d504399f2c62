import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { renderGolden as renderInfra } from '../src/infra/testing/golden.ts'
import { renderGolden as renderTranslation } from '../src/translate/testing/golden.ts'

// Writes the golden outputs of translations and of what runs for waypoints anew. Read the difference before you commit it: a wrong golden
// is worse than none.
if (process.argv[2] !== '--update') {
  console.error('usage: node scripts/goldens.ts --update')
  process.exit(2)
}
for (const [folder, render] of [['translate', renderTranslation], ['infra', renderInfra]] as const) {
  const directory = join(import.meta.dirname, '../src', folder, 'testdata')
  for (const input of globSync('**/*.in.yaml', { cwd: directory }).sort()) {
    writeFileSync(join(directory, input.replace('.in.yaml', '.out.yaml')), render(readFileSync(join(directory, input), 'utf8')))
  }
}
