import { Option, type Command } from 'commander'
import { accessLogLevels } from '../model/infra.ts'
import type { CaRotateOptions, CaStatusOptions } from './ca.ts'
import type { InstallOptions } from './install.ts'
import { clusterOptions, codes, examples, format, timeout, trustDomain, type ProgramContext } from './options.ts'
import { seconds, several } from './usage.ts'
import type { UninstallOptions } from './uninstall.ts'

const failedInCluster = '1  the cluster can not be asked, or refuses'
const wrongUse = '2  wrong use: an unknown option or a bad value'

/** Adds the verbs of people who look after a cluster's mesh. */
export function defineAdministration(program: Command, { io, onExit }: ProgramContext): void {
  clusterOptions(program.command('install')
    .summary('print or apply what a cluster needs')
    .description('Prints the manifests of an installation, the same objects as the Helm chart makes, or applies them and waits until the controller runs.'))
    .option('--apply', 'apply the manifests instead of printing them', false)
    .addOption(new Option('--crds <channel>', 'Gateway API\'s CRDs too').choices(['standard', 'experimental']))
    .addOption(new Option('--image <name>', 'image of controllers and waypoints; the one of this version if not given'))
    .addOption(new Option('--image-pull-policy <policy>', 'of controllers and waypoints').choices(['Always', 'IfNotPresent', 'Never']).default('IfNotPresent'))
    .addOption(new Option('--image-pull-secret <name>', 'a Secret; may be repeated').argParser(several((text: string) => text)).default([], 'none'))
    .addOption(new Option('--replicas <number>', 'controllers').argParser(seconds(1, 9, 'a whole number')).default(2))
    .addOption(trustDomain())
    .addOption(new Option('--svid-lifetime <seconds>', 'how long certificates of workloads are valid').argParser(seconds(60, 86_400)).default(3600))
    .addOption(new Option('--own-ca-secret <name>', 'a Secret of type kubernetes.io/tls with a CA to use in place of one of its own'))
    .addOption(new Option('--access-log <how>', 'which requests waypoints write a line about unless their parameters say; errors: those that failed').choices(accessLogLevels).default('json'))
    .addOption(new Option('--otlp-endpoint <url>', 'where waypoints send traces unless their parameters say'))
    .addOption(timeout('for the CRDs, and then for the controller', 120))
    .addHelpText('after', examples('waymark install --crds experimental --apply', 'waymark install | kubectl apply --server-side -f -') +
      codes('0  printed, or applied and running', failedInCluster + ', or the controller did not become ready in time', wrongUse))
    .action(async (options: InstallOptions) => onExit(await (await import('./install.ts')).install(options, io)))

  clusterOptions(program.command('uninstall')
    .summary('take an installation away')
    .description('Deletes what `waymark install` made; a release of the chart is left to helm. The CA and the trust bundles stay unless told otherwise, so that the same mesh can be installed again.'))
    .option('--force', 'although Gateways of class waypoint are there; their pods serve on until their certificates end', false)
    .option('--crds', 'Gateway API\'s CRDs too, and with them every object of theirs', false)
    .option('--ca', 'the CA and the trust bundles too: the next installation is another mesh', false)
    .addOption(timeout('for the controllers to end', 60))
    .addHelpText('after', codes('0  gone', failedInCluster + ', or something stands in the way', wrongUse))
    .action(async (options: UninstallOptions) => onExit(await (await import('./uninstall.ts')).uninstall(options, io)))

  defineCa(program, { io, onExit })
}

function defineCa(program: Command, { io, onExit }: ProgramContext): void {
  const ca = program.command('ca')
    .summary('look after the mesh\'s CA')
    .description('Shows how the mesh\'s CA stands, or replaces its root without an interruption.')
    .helpCommand(false)

  clusterOptions(ca.command('status')
    .summary('say how the CA stands')
    .description('Says how the mesh\'s CA stands: its roots, until when they are valid, which one signs, and whether a rotation is under way. Reads no keys.'))
    .addOption(format('table'))
    .addHelpText('after', codes('0  all is well', '1  there is no CA or it has problems; or ' + failedInCluster.slice(3), wrongUse))
    .action(async (options: CaStatusOptions) => onExit(await (await import('./ca.ts')).caStatus(options, io)))

  clusterOptions(ca.command('rotate')
    .summary('replace the CA\'s root in stages')
    .description('Asks the controllers to replace the mesh\'s root in stages, each of which lasts one certificate\'s life: the new root is introduced, then it signs, then the ' +
      'former one is retired. Nothing restarts and no request fails. The controllers do it by themselves: this verb may end, and be run again to see how far it is.'))
    .addOption(new Option('--to <generation>', 'the generation to reach, for scripts that may run twice; the one after the present if not given').argParser(seconds(1, 1_000_000, 'a whole number')))
    .option('--force', 'take every step at once, because others know the present key: processes whose certificates are older fail until they renew', false)
    .option('--no-wait', 'only ask for it')
    .addOption(new Option('--timeout <seconds>', 'how long to wait; as long as it takes if not given').argParser(seconds(1, 1_000_000)))
    .addOption(format('table'))
    .addHelpText('after', examples('waymark ca rotate', 'waymark ca rotate --to 3 --no-wait') +
      codes('0  complete, or with --no-wait asked for', failedInCluster + ', or it was not complete in time', wrongUse))
    .action(async (options: CaRotateOptions) => onExit(await (await import('./ca.ts')).caRotate(options, io)))
}
