import { join } from 'node:path'
import { runInside } from './lib/inside.ts'

/**
 * `npm run test:net`: the node agent in real network namespaces; see `runInside`.
 * Arguments are mocha's: `npm run test:net -- --grep hairpin`.
 */
const mocha = join(import.meta.dirname, '../../node_modules/mocha/bin/mocha.js')
// Each in network namespaces of its own: in pods that were captured before, the kernel remembers connections that were cut, for minutes.
const suites = ['suite.ts', 'suite-rotation.ts'].map((file) => join(import.meta.dirname, file))
// --exit: what a failed case left open must not keep it alive.
for (const suite of suites) process.exitCode = (await runInside('test:net', [process.execPath, mocha, '--no-config', '--exit', '--forbid-only', '--forbid-pending', '--timeout', '120000', ...process.argv.slice(2), suite])) || process.exitCode
