import type { Argument, Command, Option } from 'commander'

export type Shell = 'bash' | 'zsh' | 'fish'

/** What follows an option or a verb: nothing, fixed words, a path, or words that nobody can guess. */
type Values = { readonly kind: 'none' | 'path' | 'free' } | { readonly kind: 'words'; readonly words: readonly string[] }

interface Flag {
  /** `-f`, `--file` */
  readonly names: readonly string[]
  readonly description: string
  readonly values: Values
}

interface Verb {
  readonly name: string
  readonly description: string
  readonly flags: readonly Flag[]
  readonly argument: Values
  /** Verbs below this one. */
  readonly verbs: readonly Verb[]
}

/** The script that completes `program` in a shell, made from the program's own definitions. */
export function completionScript(shell: Shell, program: Command): string {
  const name = program.name()
  const verbs = program.commands.map((command) => verbOf(command, program))
  switch (shell) {
    case 'bash':
      return bash(name, verbs)
    case 'zsh':
      return zsh(name, verbs)
    case 'fish':
      return fish(name, verbs)
  }
}

function verbOf(command: Command, program: Command): Verb {
  const [argument] = command.registeredArguments
  const verbs: Values = { kind: 'words', words: program.commands.map((each) => each.name()) }
  return {
    name: command.name(),
    description: command.summary(),
    flags: command.createHelp().visibleOptions(command).map(flagOf),
    argument: command.name() === 'help' ? verbs : argument === undefined ? { kind: 'none' } : valuesOf(argument),
    verbs: command.commands.map((each) => verbOf(each, program)),
  }
}

function flagOf(option: Option): Flag {
  return {
    names: [option.short, option.long].filter((each) => each !== undefined),
    description: option.description,
    values: option.required || option.optional ? valuesOf(option) : { kind: 'none' },
  }
}

function valuesOf(of: Option | Argument): Values {
  if (of.argChoices !== undefined) return { kind: 'words', words: of.argChoices }
  const name = 'flags' in of ? of.flags : of.name()
  return { kind: /\b(?:dir|path|where)\b/.test(name) ? 'path' : 'free' }
}

function bash(name: string, verbs: readonly Verb[]): string {
  const complete = (values: Values): string => {
    switch (values.kind) {
      case 'words':
        return `COMPREPLY=($(compgen -W '${values.words.join(' ')}' -- "$word"))`
      case 'path':
        return 'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word"))'
      case 'free':
      case 'none':
        return 'COMPREPLY=()'
    }
  }
  const own = (verb: Verb): readonly string[] => [
    'case $previous in',
    ...verb.flags.filter(({ values }) => values.kind !== 'none').map(({ names, values }) => `  ${names.join('|')}) ${complete(values)}; return ;;`),
    'esac',
    `if [[ $word == -* ]]; then COMPREPLY=($(compgen -W '${verb.flags.flatMap(({ names }) => names).join(' ')}' -- "$word")); return; fi`,
    complete(verb.argument),
  ]
  const nested = (verb: Verb): readonly string[] => [
    'if ((COMP_CWORD > 2)); then',
    '  case ${COMP_WORDS[2]} in',
    ...verb.verbs.flatMap((each) => [`    ${each.name})`, ...own(each).map((line) => `      ${line}`), '      return ;;']),
    '  esac',
    `elif [[ $word != -* ]]; then COMPREPLY=($(compgen -W '${names(verb.verbs)}' -- "$word")); return; fi`,
  ]
  const lines = verbs.flatMap((verb) => [
    `    ${verb.name})`,
    ...[...(verb.verbs.length === 0 ? [] : nested(verb)), ...own(verb)].map((line) => `      ${line}`),
    '      ;;',
  ])
  return [
    `# bash completion of ${name}: source <(${name} completion bash)`,
    `_${name}() {`,
    '  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}',
    '  COMPREPLY=()',
    '  if ((COMP_CWORD == 1)); then',
    `    COMPREPLY=($(compgen -W '${names(verbs)}' -- "$word"))`,
    '    return',
    '  fi',
    '  case ${COMP_WORDS[1]} in',
    ...lines,
    '  esac',
    '}',
    `complete -F _${name} ${name}`,
    '',
  ].join('\n')
}

function zsh(name: string, verbs: readonly Verb[]): string {
  const action = (values: Values): string => {
    switch (values.kind) {
      case 'words':
        return `:value:(${values.words.join(' ')})`
      case 'path':
        return ':path:_files'
      case 'free':
        return ':value: '
      case 'none':
        return ''
    }
  }
  const spec = (flag: Flag): readonly string[] => flag.names.map((each) => quote(`*${each}[${flag.description.replaceAll(/[[\]:\\]/g, '\\$&')}]${action(flag.values)}`))
  const own = (verb: Verb): string =>
    `_arguments ${[...verb.flags.flatMap(spec), ...(verb.argument.kind === 'none' ? [] : [quote(`*${action(verb.argument)}`)])].join(' \\\n        ')}`
  const described = (all: readonly Verb[]): string => all.map((verb) => quote(`${verb.name}:${verb.description}`)).join(' ')
  const nested = (verb: Verb): readonly string[] => [
    `      verbs=(${described(verb.verbs)})`,
    "      if ((CURRENT == 2)) && [[ $words[2] != -* ]]; then _describe 'verb' verbs; return; fi",
    '      case $words[2] in',
    ...verb.verbs.flatMap((each) => [`        ${each.name})`, '          shift words', '          ((CURRENT--))', `          ${own(each)}`, '          return ;;']),
    '      esac',
  ]
  const lines = verbs.flatMap((verb) => [`    ${verb.name})`, ...(verb.verbs.length === 0 ? [] : nested(verb)), `      ${own(verb)} ;;`])
  return [
    `#compdef ${name}`,
    `# zsh completion of ${name}: source <(${name} completion zsh)`,
    `_${name}() {`,
    '  local -a verbs',
    `  verbs=(${described(verbs)})`,
    '  if ((CURRENT == 2)); then',
    "    _describe 'verb' verbs",
    '    return',
    '  fi',
    '  local verb=$words[2]',
    '  shift words',
    '  ((CURRENT--))',
    '  case $verb in',
    ...lines,
    '  esac',
    '}',
    `compdef _${name} ${name}`,
    '',
  ].join('\n')
}

function fish(name: string, verbs: readonly Verb[]): string {
  const first = '__fish_use_subcommand'
  const seen = (...all: readonly string[]): string => `__fish_seen_subcommand_from ${all.join(' ')}`
  const flags = (verb: Verb, condition: string): readonly string[] => {
    const argument = argumentsOf(verb.argument)
    return [
      ...verb.flags.map(({ names: all, description, values }) => `complete -c ${name} ${condition} ${all.map(fishName).join(' ')} ${argumentsOf(values, true)}-d ${quote(description)}`),
      ...(argument === '' ? [] : [`complete -c ${name} ${condition} ${argument}`.trimEnd()]),
    ]
  }
  const parents = verbs.filter((verb) => verb.verbs.length > 0)
  const lines = verbs.flatMap((verb) => {
    const below = verb.verbs.map((each) => each.name)
    // A verb may bear the name of one below another.
    const others = parents.filter((each) => each !== verb && each.verbs.some((nested) => nested.name === verb.name)).map((each) => each.name)
    const condition = [seen(verb.name), ...(below.length === 0 ? [] : [`not ${seen(...below)}`]), ...(others.length === 0 ? [] : [`not ${seen(...others)}`])].join('; and ')
    return [
      `complete -c ${name} -f -n ${first} -a ${verb.name} -d ${quote(verb.description)}`,
      ...verb.verbs.map((each) => `complete -c ${name} -f -n ${quote(condition)} -a ${each.name} -d ${quote(each.description)}`),
      ...flags(verb, `-n ${quote(condition)}`),
      ...verb.verbs.flatMap((each) => flags(each, `-n ${quote(`${seen(verb.name)}; and ${seen(each.name)}`)}`)),
    ]
  })
  return [`# fish completion of ${name}: ${name} completion fish | source`, `complete -c ${name} -f`, ...lines, ''].join('\n')
}

function fishName(name: string): string {
  return name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`
}

/** @param required whether it is an option's value, which has to be there */
function argumentsOf(values: Values, required = false): string {
  switch (values.kind) {
    case 'words':
      return `${required ? '-x ' : ''}-a ${quote(values.words.join(' '))} `
    case 'path':
      return required ? '-r -F ' : '-F '
    case 'free':
      return required ? '-x ' : ''
    case 'none':
      return ''
  }
}

function names(verbs: readonly Verb[]): string {
  return verbs.map((verb) => verb.name).join(' ')
}

/** In single quotes, as all three shells read them. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
