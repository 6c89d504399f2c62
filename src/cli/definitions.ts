import { Command, Option } from 'commander'
import type { ConnectVerbOptions } from './connect.ts'
import { ports } from '../model/install.ts'
import { defineAdministration } from './admin-definitions.ts'
import { defineProcesses } from './cluster-definitions.ts'
import { exitCodes } from './io.ts'
import type { RunVerbOptions } from './run.ts'
import { codes, examples, format, memberOptions, port, trustDomain, type ProgramContext } from './options.ts'
import { defineReading } from './reading-definitions.ts'
import { parseEntry, parsePort, several } from './usage.ts'
import { versions } from './version.ts'

const wrongUse = '2  wrong use: an unknown verb, option or format, a folder that does not exist'

/**
 * Defines the command: its help, its completion and its reference page are all made from this. Verbs load their code only when they
 * run, so that the small ones start at once.
 */
export function defineProgram({ io, onExit }: ProgramContext): Command {
  const program = new Command('waymark')
    .description('A sidecarless service mesh: one waypoint per namespace, configured by the standard Gateway API.')
    .version(versions().version, '-V, --version', 'print the version number')
    .helpCommand(false)
    // Without it, `waypoint` and `agent` would take options that are meant for the verbs below them.
    .enablePositionalOptions()
    .addHelpText('after', '\nData goes to stdout, talk to stderr. Each verb lists its exit codes: waymark VERB --help\n')

  defineReading(program, { io, onExit })

  program.command('run')
    .summary('run the whole mesh of a folder in one process')
    .description('Runs the mesh of a folder in one process: its waypoints, the CA, and a forward proxy for each workload that --as names. ' +
      'Starts with what is good in the folder. SIGINT or SIGTERM lets what is on its way finish; a second one ends at once.')
    .argument('<dir>', 'folder with Kubernetes manifests, or one file')
    .option('--watch', 'take over changes of the folder as they happen (default)')
    .option('--no-watch', 'keep to what the folder held at the start')
    .addOption(new Option('--as <ns/sa[@port]>', 'open a forward proxy for this workload, on a free port if none is given; may be repeated').argParser(several(parseEntry)).default([], 'none'))
    .addOption(new Option('--host <address>', 'where everything listens; whoever reaches it may act as the --as workloads').default('127.0.0.1'))
    .addOption(trustDomain())
    .addOption(port('--admin-port <port>', 'configuration and statuses as JSON', 15000))
    .addOption(port('--metrics-port <port>', 'Prometheus metrics', 15020))
    .addOption(port('--ready-port <port>', 'readiness and liveness', 15021))
    .option('--state <dir>', 'keep the CA\'s root in this folder; without it, it ends with the process')
    .option('--control-socket <path>', 'Unix socket for `waymark connect`; whoever may open it may act as any workload')
    .addOption(new Option('--access-log <where>', 'a line of JSON for each request: a file, - for stdout, or none').default('none'))
    .addHelpText('after', examples('waymark run examples/bookstore --as shop/till@8001 --as books/web@8002') +
      codes('0  ended by a signal; 130 if a second one cut it short', '1  it can not start: a port is taken, the folder can not be read, the CA\'s state is not whole', wrongUse))
    .action(async (directory: string, options: RunVerbOptions) => onExit(await (await import('./run.ts')).run(directory, options, io)))

  memberOptions(program.command('connect')
    .summary('enter the mesh of another process or of the cluster as a workload')
    .description('Opens a forward proxy for one workload in a process of its own. In a pod, configuration and certificates come from the cluster\'s controller, and the ' +
      'pod\'s projected token says who it is; elsewhere from `waymark run --control-socket`. While neither answers, it goes on with what it has.')
    .addOption(new Option('--control-socket <path>', 'Unix socket of the process that controls the mesh; without it, the controller of a cluster does'))
    .addOption(new Option('--as <ns/sa[@port]>', 'the workload, and the port of its proxy; in a pod, its own service account if not given').argParser(parseEntry))
    .addOption(port('--port <port>', 'where the proxy listens in a pod', ports.entry))
    .addOption(new Option('--host <address>', 'where the proxy listens; whoever reaches it may act as this workload').default('127.0.0.1'))
    .addOption(new Option('--ready-port <port>', 'readiness and liveness, on every address; 0 = any, none = off').argParser(parsePort).default('none')))
    .addHelpText('after', examples('waymark connect --control-socket /tmp/waymark.sock --as shop/till@8001', 'waymark connect --ready-port 15021') +
      codes('0  ended by a signal; 130 if a second one cut it short', '1  it can not start: the port is taken', wrongUse))
    .action(async (options: ConnectVerbOptions) => onExit(await (await import('./connect.ts')).connect(options, io)))

  defineProcesses(program, { io, onExit })
  defineAdministration(program, { io, onExit })

  program.command('version')
    .summary('say which version this is')
    .description('Says which versions of waymark, Node and Gateway API these are.')
    .addOption(format('table'))
    .addHelpText('after', codes('0  always', wrongUse))
    .action(async (options: { readonly output: 'table' | 'json' | 'yaml' }) => onExit(await (await import('./version.ts')).version(options, io)))

  program.command('completion')
    .summary('print a script that completes this command in a shell')
    .description('Prints a script that completes this command in a shell.')
    .addArgument(program.createArgument('<shell>', 'for which one').choices(['bash', 'zsh', 'fish']))
    .addHelpText('after', examples('source <(waymark completion bash)', 'source <(waymark completion zsh)', 'waymark completion fish | source') + codes('0  printed', wrongUse))
    .action(async (shell: 'bash' | 'zsh' | 'fish') => {
      io.out((await import('./completion.ts')).completionScript(shell, program))
      onExit(exitCodes.fine)
    })

  program.command('help')
    .summary('explain a verb')
    .description('Explains a verb, or all of them in short.')
    .argument('[verb...]', 'which one, and the one below it')
    .addHelpText('after', codes('0  printed', wrongUse))
    .action((verbs: readonly string[]) => {
      let found = program
      for (const name of verbs) {
        const next = found.commands.find((each) => each.name() === name)
        // Ends as an unknown verb on the command line does, with a suggestion.
        if (next === undefined) return void program.parse([...verbs.slice(0, verbs.indexOf(name) + 1)], { from: 'user' })
        found = next
      }
      found.outputHelp()
      onExit(exitCodes.fine)
    })
  return program
}
