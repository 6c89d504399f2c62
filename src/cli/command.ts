import type { Command, CommanderError } from 'commander'
import { defineProgram } from './definitions.ts'
import { exitCodes, type Io } from './io.ts'
import { CannotRead, UsageError } from './usage.ts'

/**
 * Runs the command line `args` (without the interpreter and the script). Wrong use ends with one line on stderr that says what to do.
 * @returns the exit code; see `exitCodes`
 * @throws what is a defect of ours
 */
export async function runCommand(args: readonly string[], io: Io): Promise<number> {
  let code: number = exitCodes.fine
  const program = defineProgram({ io, onExit: (given) => (code = given) })
  prepare(program, io)
  if (args.length === 0) {
    program.outputHelp({ error: true })
    return exitCodes.wrongUse
  }
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof Ended) return end(error, io)
    if (error instanceof UsageError) {
      io.say(`${calledName(program, args)}: ${error.message}`)
      return exitCodes.wrongUse
    }
    if (error instanceof CannotRead) {
      io.say(`${calledName(program, args)}: ${error.message}`)
      return exitCodes.failed
    }
    throw error
  }
}

/** How commander ended the parsing of a command. */
class Ended extends Error {
  readonly command: Command
  readonly reason: CommanderError
  constructor(command: Command, reason: CommanderError) {
    super(reason.message)
    this.command = command
    this.reason = reason
  }
}

function prepare(command: Command, io: Io): void {
  command.exitOverride((reason) => {
    throw new Ended(command, reason)
  })
  command.configureOutput({
    writeOut: (text) => io.out(text),
    writeErr: (text) => io.say(text.replace(/\n$/, '')),
    outputError: () => {},
  })
  command.configureHelp({ helpWidth: 110, sortSubcommands: false, subcommandTerm: (verb) => verb.name() })
  for (const nested of command.commands) prepare(nested, io)
}

/** `waymark ca rotate`: the verbs that the arguments begin with. */
function calledName(program: Command, args: readonly string[]): string {
  const names = [program.name()]
  let command: Command | undefined = program
  for (const arg of args) {
    command = command.commands.find((each) => each.name() === arg)
    if (command === undefined) break
    names.push(command.name())
  }
  return names.join(' ')
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`
}

function end({ command, reason }: Ended, io: Io): number {
  if (reason.exitCode === 0) return exitCodes.fine
  // Verbs that only hold others have explained themselves on stderr.
  if (reason.code === 'commander.help') return exitCodes.wrongUse
  const path = pathOf(command)
  const line = reason.message.replace(/^error: /, '').replace(/\n\(Did you mean ([^)]*)\?\)$/, '; did you mean $1?').replaceAll(/\s*\n\s*/g, ' ').replace(/[.?]$/, (sign) => (sign === '?' ? sign : ''))
  io.say(`${path}: ${line}; see \`${path} --help\``)
  return exitCodes.wrongUse
}
