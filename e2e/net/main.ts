import { join } from 'node:path'
import { runInside } from './lib/inside.ts'

/**
 * `npm run test:net`: the node agent in real network namespaces; see `runInside`.
 * Arguments are mocha's: `npm run test:net -- --grep hairpin`.
 */
const mocha = join(import.meta.dirname, '../../node_modules/mocha/bin/mocha.js')
const suite = join(import.meta.dirname, 'suite.ts')
// --exit: what a failed case left open must not keep it alive.
process.exitCode = await runInside('test:net', [process.execPath, mocha, '--no-config', '--exit', '--forbid-only', '--forbid-pending', '--timeout', '120000', ...process.argv.slice(2), suite])
