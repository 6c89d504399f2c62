import { Option, type Command } from 'commander'
import { accessLogLevels, logLevels, mostWorkers } from '../model/infra.ts'
import { install, ports } from '../model/install.ts'
import { defineAgent } from './agent-definitions.ts'
import type { ControllerVerbOptions } from './controller.ts'
import { codes, memberOptions, port, trustDomain, verbBelow, type ProgramContext } from './options.ts'
import { requireOptions, seconds, several } from './usage.ts'
import { defineWaypointVerbs } from './waypoint-definitions.ts'
import type { WaypointVerbOptions } from './waypoint.ts'

/** Adds the verbs that run in a cluster's pods: `controller`, `waypoint` and `agent`. */
export function defineProcesses(program: Command, { io, onExit }: ProgramContext): void {
  program.command('controller')
    .summary('run the control plane of a cluster')
    .description('Runs the control plane: watches the cluster, runs waypoints, serves them configuration and certificates, writes statuses. ' +
      'Several of them share the work; one that holds the Lease writes. The Helm chart and `waymark install` set this up.')
    .addOption(new Option('--namespace <name>', 'where the installation is').default(install.namespace))
    .addOption(new Option('--pod <name>', 'name of this pod').makeOptionMandatory())
    .addOption(new Option('--pod-ip <address>', 'address of this pod, to tell itself from other controllers'))
    .addOption(new Option('--image <name>', 'image of waypoint pods').makeOptionMandatory())
    .addOption(new Option('--image-pull-policy <policy>', 'of waypoint pods').choices(['Always', 'IfNotPresent', 'Never']).default('IfNotPresent'))
    .addOption(new Option('--image-pull-secret <name>', 'of waypoint pods, a Secret in their namespace; may be repeated').argParser(several(asIs)).default([], 'none'))
    .addOption(trustDomain())
    .addOption(new Option('--svid-lifetime <seconds>', 'how long certificates of workloads are valid').argParser(seconds(60, 86_400)).default(3600))
    .addOption(new Option('--own-ca-secret <name>', 'a Secret of type kubernetes.io/tls with a CA to use in place of one of its own'))
    .option('--node-agent', 'there is an agent on the nodes: pods are reached by HBONE as soon as they are captured', false)
    .addOption(new Option('--access-log <how>', 'which requests waypoints write a line about unless their parameters say; errors: those that failed').choices(accessLogLevels).default('json'))
    .addOption(new Option('--otlp-endpoint <url>', 'where waypoints send traces unless their parameters say: the base URL of an OTLP/HTTP receiver'))
    .addOption(new Option('--host <address>', 'where everything but the admin port listens').default('0.0.0.0'))
    .addOption(port('--control-port <port>', 'configuration and certificates', ports.control))
    .addOption(port('--admin-port <port>', 'configuration and statuses as JSON, on loopback', ports.admin))
    .addOption(port('--metrics-port <port>', 'Prometheus metrics', ports.metrics))
    .addOption(port('--ready-port <port>', 'readiness and liveness', ports.ready))
    .addHelpText('after', codes('0  ended by a signal; 130 if a second one cut it short', '1  it can not start: no cluster, a port is taken, the CA is not whole', '2  wrong use: an unknown option or a bad value'))
    .action(async (options: ControllerVerbOptions) => onExit(await (await import('./controller.ts')).controller(options, io)))

  defineWaypoint(program.command('waypoint'), { io, onExit })
  defineAgent(program, { io, onExit })
}

function defineWaypoint(command: Command, { io, onExit }: ProgramContext): void {
  memberOptions(command
    .summary('run the waypoint of a Gateway, or look after waypoints')
    .description('Without a verb below it: runs the waypoint of one Gateway, the L7 data plane of its namespace. The controller starts it in pods; it has no access to the Kubernetes API.')
    .helpCommand(false)
    // Options before a verb below are this process's own, those after it are that verb's.
    .enablePositionalOptions()
    .allowExcessArguments()
    .addOption(new Option('--namespace <name>', 'namespace of the Gateway (required)'))
    .addOption(new Option('--name <name>', 'name of the Gateway, and of the service account under which it speaks (required)'))
    .addOption(new Option('--pod <name>', 'name of this pod (required)'))
    .addOption(new Option('--workers <number>', 'threads that serve; each has connections of its own').argParser(seconds(1, mostWorkers, 'a whole number')).default(1))
    .addOption(new Option('--access-log <how>', 'a line of JSON on stdout for each request; errors: for those that failed').choices(accessLogLevels).default('json'))
    .addOption(new Option('--log-level <level>', 'what it says of itself on stderr').choices(logLevels).default('info'))
    .addOption(new Option('--drain <seconds>', 'how long requests in flight get when it ends').argParser(seconds(0, 3600)).default(30))
    .addOption(new Option('--linger <seconds>', 'how long it goes on taking connections before that, until callers have heard that it ends').argParser(seconds(0, 60)).default(5))
    .addOption(new Option('--host <address>', 'where everything but the admin port listens').default('0.0.0.0'))
    .addOption(port('--hbone-port <port>', 'the mesh listener', ports.hbone))
    .addOption(port('--admin-port <port>', 'configuration as JSON, on loopback', ports.admin))
    .addOption(port('--metrics-port <port>', 'Prometheus metrics', ports.metrics))
    .addOption(port('--ready-port <port>', 'readiness and liveness', ports.ready)))
    .addHelpText('after', codes('0  ended by a signal; 130 if a second one cut it short', '1  it can not start: a port is taken', '2  wrong use: an unknown option or a bad value'))
    .action(async (options: Partial<WaypointVerbOptions>, { args: [verb] }: Command) => {
      if (verb !== undefined) throw verbBelow(verb, command)
      onExit(await (await import('./waypoint.ts')).waypoint(requireOptions<WaypointVerbOptions>('waypoint', options, ['namespace', 'name', 'pod']), io))
    })
  defineWaypointVerbs(command, { io, onExit })
}

function asIs(text: string): string {
  return text
}
