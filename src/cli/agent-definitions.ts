import { Option, type Command } from 'commander'
import { accessLogLevels, logLevels, mostWorkers } from '../model/infra.ts'
import { install, ports } from '../model/install.ts'
import type { AgentDumpOptions } from './agent-dump.ts'
import type { AgentVerbOptions } from './agent.ts'
import { clusterOptions, codes, examples, format, memberOptions, port, verbBelow, type ProgramContext } from './options.ts'
import { requireOptions, seconds } from './usage.ts'

/** Adds `agent`, which runs in a cluster's pods, and what looks at it. */
export function defineAgent(program: Command, { io, onExit }: ProgramContext): void {
  const command = program.command('agent')
  memberOptions(command
    .summary('run the agent of a node, or look at agents')
    .description('Without a verb below it: captures the traffic of the pods of one node that belong to the mesh: what they send and what reaches them travels by mutual TLS. It runs in a DaemonSet with the ' +
      'capabilities SYS_ADMIN and NET_ADMIN, and has no access to the Kubernetes API. When it ends, captured pods stay captured: what they send is refused until another agent runs.')
    .helpCommand(false)
    // Options before a verb below are this process's own, those after it are that verb's.
    .enablePositionalOptions()
    .allowExcessArguments()
    .addOption(new Option('--node <name>', 'name of this node (required)'))
    .addOption(new Option('--pod <name>', 'name of this pod (required)'))
    .addOption(new Option('--namespace <name>', 'where the installation is').default(install.namespace))
    .addOption(new Option('--netns <dir>', '/run/netns of the node').default('/host/netns'))
    .addOption(new Option('--cni-results <dir>', '/var/lib/cni/results of the node').default('/host/cni/results'))
    .addOption(new Option('--host-proc <dir>', '/proc of the node, writable').default('/host/proc'))
    .addOption(new Option('--host-dir <dir>', 'the agent\'s own directory on the node, kept over restarts').default('/host/waymark'))
    .addOption(new Option('--host-dir-on-node <dir>', 'the same directory as the node sees it: the plugin of CNI runs there').default('/var/lib/waymark-agent'))
    .addOption(new Option('--cni-conf <dir>', '/etc/cni/net.d of the node').default('/host/cni-conf'))
    .addOption(new Option('--cni-bin <dir>', '/opt/cni/bin of the node').default('/host/cni-bin'))
    .option('--no-cni-plugin', 'do not chain a plugin of CNI: pods that have just started may send a little in plain before they are captured')
    .option('--retire', 'capture nothing, and take away what agents have left on the node: rules in pods and on the node, and the plugin of CNI; for a mesh whose agents go for good', false)
    .addOption(new Option('--unknown-destinations <what>', 'what becomes of connections to addresses that the mesh does not know').choices(['pass', 'refuse']).default('pass'))
    .addOption(new Option('--workers <number>', 'threads that carry connections; each has listeners in every pod').argParser(seconds(1, mostWorkers, 'a whole number')).default(1))
    .addOption(new Option('--access-log <how>', 'a line of JSON on stdout for each connection; errors: for those that were not let through').choices(accessLogLevels).default('errors'))
    .addOption(new Option('--log-level <level>', 'what it says of itself on stderr').choices(logLevels).default('info'))
    .addOption(new Option('--drain <seconds>', 'how long connections get when it ends').argParser(seconds(0, 3600)).default(30))
    .addOption(new Option('--ready-file <path>', 'a file that is there, and touched every 5 s, while every pod that shall be captured is'))
    .addOption(port('--admin-port <port>', 'what it knows and does as JSON, on loopback', ports.admin))
    .addOption(port('--metrics-port <port>', 'Prometheus metrics', ports.metrics)))
    .addHelpText('after', codes('0  ended by a signal; 130 if a second one cut it short', '1  it can not start: no capabilities, no directories of the node', '2  wrong use: an unknown option or a bad value'))
    .action(async (options: Partial<AgentVerbOptions>, { args: [verb] }: Command) => {
      if (verb !== undefined) throw verbBelow(verb, command)
      onExit(await (await import('./agent.ts')).agent(requireOptions<AgentVerbOptions>('agent', options, ['node', 'pod']), io))
    })

  clusterOptions(command.command('dump')
    .summary('show what the agents of nodes know and do')
    .description('Shows what agents know and do, as they say themselves, by a port-forward to their admin ports: the pods that they capture, with identity, mark, rules, listeners, connections and what is wrong; ' +
      'the pods that they leave alone, and why; certificates and their ages; how old the configuration is and what is in it.'))
    .addOption(new Option('--node <name>', 'only the agent of this node'))
    .addOption(format('table'))
    .addHelpText('after', examples('waymark agent dump --node worker-1', 'waymark agent dump -o json') +
      codes('0  shown', '1  the cluster or the agents can not be asked, or there are none', '2  wrong use: an unknown option or a bad value'))
    .action(async (options: AgentDumpOptions) => onExit(await (await import('./agent-dump.ts')).agentDump(options, io)))
}
