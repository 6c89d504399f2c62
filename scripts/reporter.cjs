// The dot reporter, closed by one plain line: `N passed, N failed`.
'use strict'
const { reporters, Runner } = require('mocha')

class DotWithTotals extends reporters.Dot {
  constructor(runner, options) {
    super(runner, options)
    runner.once(Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures } = this.stats
      process.stdout.write(`${passes} passed, ${failures} failed\n`)
    })
  }
}

module.exports = DotWithTotals
