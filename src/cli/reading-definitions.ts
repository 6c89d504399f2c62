import { InvalidArgumentError, Option, type Command } from 'commander'
import { install } from '../model/install.ts'
import type { CheckVerbOptions } from './check/verb.ts'
import type { ConfigDumpOptions } from './config-dump.ts'
import type { ExplainVerbOptions } from './explain.ts'
import { clusterChoice, clusterOptions, codes, examples, folder, format, sourceTrustDomain, type ProgramContext } from './options.ts'
import type { StatusOptions } from './status.ts'
import { tapRates } from '../telemetry/tap-page.ts'
import { isStatusFilter, tapVerdicts } from '../telemetry/tap-filter.ts'
import { parseDuration } from './duration.ts'
import type { TapOptions } from './tap.ts'
import type { TranslateVerbOptions } from './translate.ts'
import { parseCaller, parseHeader, seconds, several } from './usage.ts'

const failures = '1  the folder or the cluster can not be read, or the output can not be written'
const wrongUse = '2  wrong use: an unknown verb, option or format, a folder that does not exist'

/** Adds the verbs that only look: at a folder, at a cluster, at what runs. */
export function defineReading(program: Command, { io, onExit }: ProgramContext): void {
  clusterOptions(program.command('check')
    .summary('say everything that is wrong with a folder of manifests, or with the mesh of a cluster')
    .description('Of a folder (-f) it says everything that is wrong with the manifests at once, a line each, with its place, what was expected and what to do. ' +
      'Of a cluster it says, a line each, whether the installation, its CA, the waypoints, agents, captured pods, routes, policies and namespaces are as they should be, and what to do about what is not; ' +
      'with --pre, whether the mesh can be installed there. On a cluster nothing is changed.')
    .addOption(folder().conflicts(['pre', 'wait']))
    .option('--pre', 'whether the mesh can be installed in the cluster', false)
    .addOption(format('table'))
    .addOption(sourceTrustDomain()))
    .addOption(new Option('--wait <seconds>', 'look again until nothing is an error, at most so long').argParser(seconds(1, 3600)))
    .addHelpText('after', examples('waymark check -f DIR', 'waymark check --pre', 'waymark check', 'waymark check -o json --wait 60') +
      codes('0  no errors; there may be warnings', '1  errors, or the folder or the cluster can not be read', wrongUse))
    .action(async (options: CheckVerbOptions) => onExit(await (await import('./check/verb.ts')).checkVerb(options, io)))

  clusterChoice(program.command('translate')
    .summary('show what a folder or a cluster means to the data plane')
    .description('Shows the configuration that the data plane gets from a folder or a cluster, entry by entry in the order of their keys. What is wrong is left out.')
    .addOption(folder())
    .option('--statuses', 'show the statuses that the objects should have instead; without lastTransitionTime, and without what only running waypoints know')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['yaml', 'json']).default('yaml'))
    .addOption(sourceTrustDomain()))
    .addHelpText('after', examples('waymark translate -f DIR', 'waymark translate --context staging -o json') +
      codes('0  printed; errors in single objects are only counted on stderr', failures, wrongUse))
    .action(async (options: TranslateVerbOptions) => onExit(await (await import('./translate.ts')).translate(options, io)))

  clusterChoice(program.command('explain')
    .summary('say where a request would go and why')
    .description('Says where a request would go and why, by a folder or by a cluster as it is now: the waypoint, the level of the routes, every rule with the reason why it won or lost, ' +
      'what filters do, the backends with their shares. From a pod it says first whether it is captured, and which way the connection takes. The data plane\'s own code judges; nothing is sent.')
    .argument('<request...>', '[METHOD] URL; the method is GET, for gRPC POST. http:// URLs are requests, https:// and tls:// TLS connections with the host (or that of a Host header) as SNI, tcp:// any connection')
    .addOption(folder())
    .addOption(new Option('--from <who>', 'who calls: NAMESPACE/SERVICE-ACCOUNT through an entry, or pod/NAME.NAMESPACE as its node\'s agent takes it').argParser(parseCaller).makeOptionMandatory())
    .addOption(new Option('-H, --header <line>', 'a header of the request, \'name: value\'; may be repeated').argParser(several(parseHeader)).default([], 'none'))
    .addOption(format('table'))
    .addOption(sourceTrustDomain()))
    .addHelpText('after', examples(
      'waymark explain -f examples/bookstore --from books/web http://reviews:9080/',
      'waymark explain -f examples/bookstore --from books/web -H \'x-user: jason\' GET http://reviews:9080/',
      'waymark explain --from pod/till-7c6d8f9b5b-x2x7k.shop http://reviews.books:9080/',
      'waymark explain --from shop/till -H \'content-type: application/grpc\' http://cart.shop:50051/shop.Cart/Add',
    ) + codes('0  explained, whatever becomes of the request', failures, wrongUse))
    .action(async (request: readonly string[], options: ExplainVerbOptions) => onExit(await (await import('./explain.ts')).explain(request, options, io)))

  clusterOptions(program.command('status')
    .summary('show what runs in a cluster')
    .description('Shows the controllers, the waypoints with their pods, the agents of the nodes and the CA of a cluster: versions, readiness, who leads, who is connected to whom, how old configurations are and ' +
      'until when certificates are valid; which pods shall be captured and are not, and who was reached in plain. What may not be read is shown as a dash, with a line on stderr that says why.'))
    .addOption(format('table'))
    .addHelpText('after', codes('0  shown, whatever state it is in', '1  the cluster can not be asked, or the mesh is not installed there', wrongUse))
    .action(async (options: StatusOptions) => onExit(await (await import('./status.ts')).status(options, io)))

  clusterChoice(program.command('config-dump')
    .summary('show the configuration that a pod really runs')
    .description('Shows the configuration that a waypoint, an agent or a controller runs, as the process itself says, by a port-forward to its admin port; ' +
      'with --diff, where that differs from what the cluster\'s objects mean now.')
    .argument('<what>', 'a waypoint\'s or an agent\'s pod, gateway/NAME, controller (the first ready one) or controller/POD'))
    .addOption(new Option('-n, --namespace <name>', `namespace of the pod or Gateway; if not given that of the context, for controllers ${install.namespace}`))
    .option('--diff', 'only what differs from what the cluster\'s objects mean now', false)
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['yaml', 'json']).default('yaml'))
    .addHelpText('after', examples('waymark config-dump gateway/waypoint -n shop', 'waymark config-dump gateway/waypoint -n shop --diff', 'waymark config-dump controller -o json') +
      codes('0  shown; with --diff: nothing differs', '1  the pod or the cluster can not be asked; with --diff: something differs', wrongUse))
    .action(async (what: string, options: ConfigDumpOptions) => onExit(await (await import('./config-dump.ts')).configDump(what, options, io)))

  defineTap(program, { io, onExit })
}

function defineTap(program: Command, { io, onExit }: ProgramContext): void {
  clusterChoice(program.command('tap')
    .summary('show requests and connections while they happen')
    .description('Shows requests, as waypoints see them, and connections, as the agents of nodes do, with their verdicts while they happen, until Ctrl-C. The processes are asked by port-forwards to their admin ports, ' +
      'and do no more for it than they are asked for: they limit the lines of each second, keep the newest for a slow reader, and say how many they dropped. A request is shown when it is answered, a connection when it opens and when it ends.')
    .argument('<what>', 'a namespace, pod/NAME or svc/NAME'))
    .addOption(new Option('-n, --namespace <name>', 'namespace of the pod or Service; that of the context if not given'))
    .addOption(new Option('--only <kind>', 'requests or connections alone').choices(['requests', 'connections']))
    .addOption(new Option('--method <method>', 'requests with this method'))
    .addOption(new Option('--path <prefix>', 'requests whose path begins so'))
    .addOption(new Option('--status <status>', 'requests that were answered so: 503, or 5xx').argParser(parseStatus))
    .addOption(new Option('--source <name>', 'from this namespace, or NAMESPACE/NAME of a workload, pod or service account'))
    .addOption(new Option('--destination <name>', 'to this namespace, or NAMESPACE/NAME of a Service, workload or pod'))
    .addOption(new Option('--verdict <verdict>', 'what became of them; failed: allowed, but the destination could not be had').choices(tapVerdicts))
    .addOption(new Option('--for <time>', 'end after this time: 30s, 5m').argParser(parseDuration))
    .addOption(new Option('--max <number>', 'end after so many').argParser(seconds(1, 1_000_000, 'a whole number')))
    .addOption(new Option('--rate <number>', 'lines a second that each process shows at most').argParser(seconds(1, tapRates.most, 'a whole number')).default(tapRates.usual))
    .addOption(new Option('-o, --output <format>', 'how to print it; json: a line for each').choices(['table', 'json']).default('table'))
    .addHelpText('after', examples('waymark tap shop', 'waymark tap svc/reviews -n books --status 5xx', 'waymark tap pod/till-1 -n shop --verdict denied --for 30s -o json') +
      codes('0  ended by a signal, by --for or by --max, or there is nobody to look at any more', '1  the cluster can not be asked, there is no such thing, or no process could be looked at', wrongUse))
    .action(async (what: string, options: TapOptions) => onExit(await (await import('./tap.ts')).tap(what, options, io)))
}

function parseStatus(text: string): string {
  if (!isStatusFilter(text)) throw new InvalidArgumentError('Write a status or a class of them: 503, 5xx.')
  return text
}
