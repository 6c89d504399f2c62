import { Option, type Command } from 'commander'
import { clusterChoice, codes, examples, format, timeout, type ProgramContext } from './options.ts'
import type { WaypointApplyOptions, WaypointDeleteOptions, WaypointListOptions } from './waypoints.ts'

const failedInCluster = '1  the cluster can not be asked, or refuses'
const wrongUse = '2  wrong use: an unknown option or a bad value'

/** Adds the verbs below `waypoint`, for people who have Gateways of that class. */
export function defineWaypointVerbs(waypoint: Command, { io, onExit }: ProgramContext): void {
  clusterChoice(waypoint.command('apply')
    .summary('give a namespace its waypoint')
    .description('Makes the Gateway of class waypoint in a namespace, or mends one that is there; the controller then runs the waypoint. Nothing else of the Gateway is changed.')
    .argument('[namespace]', 'which one; that of the context if not given'))
    .addOption(new Option('--name <name>', 'of the Gateway').default('waypoint'))
    .option('--enroll-namespace', 'label the namespace waymark.dev/mesh=enabled too', false)
    .addOption(new Option('--dry-run', 'print what would be applied, and change nothing').default(false).conflicts('wait'))
    .option('--wait', 'until the waypoint is programmed', false)
    .addOption(timeout('with --wait', 120))
    .addHelpText('after', examples('waymark waypoint apply shop --enroll-namespace --wait') +
      codes('0  applied or, with --dry-run, printed; with --wait also programmed', failedInCluster + ', or it was not programmed in time', wrongUse))
    .action(async (namespace: string | undefined, options: WaypointApplyOptions) => onExit(await (await import('./waypoints.ts')).waypointApply(namespace, options, io)))

  clusterChoice(waypoint.command('list')
    .summary('list waypoints')
    .description('Lists the Gateways of class waypoint, with what their statuses say.'))
    .addOption(new Option('-n, --namespace <name>', 'of this namespace; that of the context if not given'))
    .option('-A, --all-namespaces', 'of every namespace', false)
    .addOption(format('table'))
    .addHelpText('after', codes('0  listed', failedInCluster, wrongUse))
    .action(async (options: WaypointListOptions) => onExit(await (await import('./waypoints.ts')).waypointList(options, io)))

  clusterChoice(waypoint.command('delete')
    .summary('take a namespace\'s waypoint away')
    .description('Deletes a Gateway of class waypoint; the controller then ends its pods. Routes of the namespace have no effect without it.')
    .argument('<name>', 'of the Gateway'))
    .addOption(new Option('-n, --namespace <name>', 'namespace of the Gateway; that of the context if not given'))
    .option('--wait', 'until its Deployment is gone', false)
    .addOption(timeout('with --wait', 120))
    .addHelpText('after', examples('waymark waypoint delete waypoint -n shop') +
      codes('0  deleted, or not there', failedInCluster + ', or it is not a waypoint; or it was not gone in time', wrongUse))
    .action(async (name: string, options: WaypointDeleteOptions) => onExit(await (await import('./waypoints.ts')).waypointDelete(name, options, io)))
}
