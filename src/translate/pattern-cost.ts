/** Beyond this no cost is told apart. */
const most = 1_000_000_000

/**
 * About how many steps the program of an RE2 pattern has: RE2 runs in linear time, but it writes counted repetitions out, so that
 * `\pL{1000}` a few hundred times is seconds of work and hundreds of megabytes before anything is matched.
 * Reads the pattern once and knows just enough of the syntax; what is no pattern has a cost too.
 */
export function patternCost(pattern: string): number {
  /** Cost so far of each open group, the outermost first, and of the last thing in it, which a repetition repeats. */
  const outer: number[] = []
  let cost = 0
  let last = 0
  const add = (more: number): void => {
    last = more
    cost = Math.min(cost + more, most)
  }
  for (let at = 0; at < pattern.length; at++) {
    switch (pattern[at]) {
      case '\\': {
        const isClass = /[pP]/.test(pattern[at + 1] ?? '')
        const braces = /^\{[^}]{0,64}\}/.exec(pattern.slice(at + 2, at + 70))?.[0].length ?? 0
        add(isClass ? 4 : 1)
        // `\pL`, `\p{Greek}`, `\x{41}`, `\d`
        at += 1 + (isClass || pattern[at + 1] === 'x' ? (isClass && braces === 0 ? 1 : braces) : 0)
        break
      }
      case '[': {
        const end = endOfClass(pattern, at)
        add(4 + ((end - at) >> 2))
        at = end
        break
      }
      case '(':
        outer.push(cost)
        cost = 0
        last = 0
        break
      case ')': {
        const inner = cost + 2
        cost = outer.pop() ?? 0
        add(inner)
        break
      }
      case '{': {
        const found = /^\{(\d{1,6})(,(\d{0,6}))?\}/.exec(pattern.slice(at, at + 20))
        if (found === null) {
          add(1)
          break
        }
        const times = Math.max(Number(found[1]) + (found[2] === undefined ? 0 : 1), Number(found[3] ?? 0))
        cost = Math.min(cost + last * Math.max(times - 1, 0), most)
        last = Math.min(last * Math.max(times, 1), most)
        at += found[0].length - 1
        break
      }
      case '*':
      case '+':
      case '?':
        cost++
        break
      default:
        add(1)
    }
  }
  return outer.reduce((sum, each) => Math.min(sum + each, most), cost)
}

function endOfClass(pattern: string, start: number): number {
  // A bracket that comes first, or first after ^, stands for itself.
  let at = start + (pattern[start + 1] === '^' ? 2 : 1)
  if (pattern[at] === ']') at++
  for (; at < pattern.length; at++) {
    if (pattern[at] === '\\') at++
    else if (pattern[at] === ']') return at
  }
  return pattern.length - 1
}
