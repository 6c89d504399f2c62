import { messageOf } from '../../kit/message.ts'
/** The plugin's name: of its file, and of its type in a configuration. */
export const pluginName = 'waymark-cni'

/** What is put after the last plugin: always the same text, so that taking it out again leaves the file as it was, to the byte. */
const entry = `,\n    {"type": "${pluginName}"}`

/** Why a configuration can not be chained to; `message` says what to do about it. */
export class ConfigurationError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ConfigurationError'
  }
}

/** Which of a folder's files the container runtime takes: the first by name. Source: libcni ConfFiles, as containerd and CRI-O use it. @returns undefined if there is none yet */
export function chosenConfiguration(names: readonly string[]): string | undefined {
  return names.filter((name) => /\.(?:conflist|conf|json)$/.test(name)).sort()[0]
}

/** Whether a list of plugins ends with ours. @throws ConfigurationError if `text` is no list of plugins */
export function isChained(text: string): boolean {
  return parse(text).at(-1)?.['type'] === pluginName
}

/** Puts our plugin last. @returns the same text if it is there already @throws ConfigurationError if `text` is no list of plugins */
export function chain(text: string): string {
  if (isChained(text)) return text
  const bare = unchain(text)
  const at = endOfPlugins(bare)
  const changed = `${bare.slice(0, at)}${entry}${bare.slice(at)}`
  if (!isChained(changed) || parse(changed).length !== parse(bare).length + 1) throw new ConfigurationError('the list of plugins could not be extended')
  return changed
}

/** Takes our plugin out, wherever it is. @returns the same text if it is not there @throws ConfigurationError if `text` is no list of plugins */
export function unchain(text: string): string {
  const plugins = parse(text)
  if (!plugins.some((each) => each['type'] === pluginName)) return text
  const cut = text.replace(entry, '')
  if (!parse(cut).some((each) => each['type'] === pluginName)) return cut
  // Somebody has written the file anew, in another form.
  const whole = JSON.parse(text) as Readonly<Record<string, unknown>>
  return `${JSON.stringify({ ...whole, plugins: plugins.filter((each) => each['type'] !== pluginName) }, undefined, 2)}\n`
}

type Plugin = Readonly<Record<string, unknown>>

function parse(text: string): readonly Plugin[] {
  let whole: unknown
  try {
    whole = JSON.parse(text)
  } catch (error) {
    throw new ConfigurationError(`it is no JSON: ${messageOf(error)}`)
  }
  const plugins = typeof whole === 'object' && whole !== null && 'plugins' in whole ? whole.plugins : undefined
  if (!Array.isArray(plugins) || plugins.length === 0) throw new ConfigurationError('it is no list of plugins: use a .conflist for the network, to which others can be chained')
  return plugins.filter((each): each is Plugin => typeof each === 'object' && each !== null)
}

/** Where the last plugin of the list ends, in a text that `parse` accepts. */
function endOfPlugins(text: string): number {
  let depth = 0
  let key = ''
  let end = 0
  for (let at = 0; at < text.length; at++) {
    const c = text.charAt(at)
    if (c === '"') {
      const from = at + 1
      for (at++; text.charAt(at) !== '"'; at++) if (text.charAt(at) === '\\') at++
      if (depth === 1) key = text.slice(from, at)
    } else if (c === '{' || c === '[') depth++
    else if (c === '}' || c === ']') {
      depth--
      if (depth === 2) end = at + 1
      if (depth === 1 && key === 'plugins') return end
    } else if (c === ',' && depth === 1) key = ''
  }
  return end
}
