import type { Command } from 'commander'
import { defineProgram } from '../../src/cli/definitions.ts'
import { plain } from '../../src/cli/io.ts'
import { table } from './errors.ts'

/** The reference page of the command, from its own definitions: `docs/cli.md`. */
export function cliPage(): string {
  const program = defineProgram({ io: { out: () => {}, say: () => {}, paint: plain }, onExit: () => {} })
  const verbs = program.commands.flatMap(withNested)
  return [
    '# The command `waymark`',
    '',
    program.description(),
    '',
    'Data goes to stdout, talk to stderr. Colours are used on a terminal only, and not if `NO_COLOR` is set.',
    '',
    table(['Verb', 'What it does'], verbs.map((verb) => [`[\`${pathOf(verb)}\`](#waymark-${pathOf(verb).replaceAll(' ', '-')})`, verb.summary()])),
    '',
    ...verbs.flatMap((verb) => verbSection(verb, program)),
  ].join('\n')
}

/** A verb and those below it; one that only holds others is left out. */
function withNested(verb: Command): readonly Command[] {
  const holdsOnly = verb.commands.length > 0 && verb.options.length === 0
  return [...(holdsOnly ? [] : [verb]), ...verb.commands.flatMap(withNested)]
}

/** `ca rotate` */
function pathOf(verb: Command): string {
  const { parent } = verb
  return parent === null || parent.parent === null ? verb.name() : `${pathOf(parent)} ${verb.name()}`
}

function verbSection(verb: Command, program: Command): readonly string[] {
  const help = verb.createHelp()
  const options = help.visibleOptions(verb)
  const rows = [
    ...help.visibleArguments(verb).map((argument) => [`\`${argument.required ? `<${argument.name()}${argument.variadic ? '...' : ''}>` : `[${argument.name()}]`}\``, help.argumentDescription(argument)]),
    ...options.map((option) => [`\`${option.flags}\``, `${help.optionDescription(option)}${option.mandatory ? ' (required)' : ''}`]),
  ]
  return [
    `## ${program.name()} ${pathOf(verb)}`,
    '',
    verb.description(),
    '',
    '```',
    help.commandUsage(verb).replace(/^\S+ /, `${program.name()} `).replace(' [command]', ''),
    '```',
    '',
    table(['Option', 'Meaning'], rows),
    '',
    ...afterHelp(verb),
  ]
}

/** The texts after the help: examples and exit codes. */
function afterHelp(verb: Command): readonly string[] {
  let text = ''
  verb.configureOutput({ writeOut: (part) => (text += part) })
  verb.outputHelp()
  const at = Math.min(...['\nExamples:\n', '\nExit codes:\n'].map((head) => text.indexOf(head)).filter((each) => each >= 0))
  if (at === Infinity) return []
  return text.slice(at + 1).trimEnd().split('\n\n').flatMap((block) => {
    const [head = '', ...lines] = block.split('\n')
    return [head, '', '```', ...lines.map((line) => line.trim()), '```', '']
  })
}
