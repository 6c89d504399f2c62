import { listening } from '../control/listening.ts'
import { createReadiness } from '../kit/ready.ts'
import { formatSpiffeId, type Identity } from '../model/identity.ts'
import { install, ports } from '../model/install.ts'
import { probePages, serveStatus, type StatusServer } from '../telemetry/server.ts'
import { connectByNetwork, ownClaims } from './connect-cluster.ts'
import type { ConnectContext, RunningEntry } from './connect-entry.ts'
import { connectBySocket } from './connect-socket.ts'
import { describe } from './describe.ts'
import { exitCodes, type Io } from './io.ts'
import type { MemberOptions } from './member.ts'
import { nodeProblem } from './node-version.ts'
import { stopSignal } from './signals.ts'
import { portOf, UsageError, type PortChoice, type WorkloadName } from './usage.ts'

/** Without a control socket it joins the mesh of a cluster; what is not given then is as the installation has it. */
export interface ConnectVerbOptions extends Partial<MemberOptions> {
  readonly trustDomain: string
  /** Unix socket of `waymark run`. */
  readonly controlSocket?: string
  /** Needed with a control socket; in a pod the token says who it is. */
  readonly as?: WorkloadName & { readonly port: number }
  readonly host: string
  /** Of the proxy in a pod; an `as` with a port goes before it. Default 15080. */
  readonly port?: PortChoice
  /** Readiness and liveness; default: none. */
  readonly readyPort?: PortChoice
  /** Where the ready port listens; default: every address, for probes come from outside the pod. */
  readonly readyHost?: string
}

/** Milliseconds that what is on its way gets to finish after the first signal. */
const drainMs = 30_000

/** `waymark connect`: ends at a signal. @throws {UsageError} */
export async function connect(options: ConnectVerbOptions, io: Io): Promise<number> {
  const { as, trustDomain, controlSocket, host } = options
  if (controlSocket !== undefined && as === undefined) throw new UsageError('with --control-socket, required option \'--as <ns/sa[@port]>\' is missing: name the workload, for example --as shop/till@8001')
  const problem = nodeProblem(process.versions.node)
  if (problem !== undefined) {
    io.say(`waymark connect: can not start: ${problem}`)
    return exitCodes.failed
  }
  const stop = stopSignal()
  const giveUp = new AbortController()
  void stop.first.then(() => giveUp.abort(new Stopped()))
  const asked = as === undefined ? undefined : { trustDomain, namespace: as.namespace, serviceAccount: as.serviceAccount }
  const readiness = createReadiness()
  const ready = readiness.register('entry', 'no controller has answered yet, and nothing is kept from before')
  let probes: StatusServer | undefined
  let running: RunningEntry | undefined
  try {
    // Before anything else: a pod that waits for a controller must be able to say so.
    const readyPort = portOf(options.readyPort ?? 'none')
    if (readyPort !== undefined) {
      probes = await listening('readiness', `port ${readyPort}`, '--ready-port', () =>
        serveStatus({ host: options.readyHost ?? '0.0.0.0', port: readyPort, anyName: true }, probePages(readiness.pending)))
      io.say(`readiness on http://${probes.address.host}:${probes.address.port}`)
    }
    const context = (port: number): ConnectContext => ({ host, port, signal: giveUp.signal, say: io.say })
    let identity: Identity
    if (controlSocket !== undefined && asked !== undefined) {
      identity = asked
      running = await connectBySocket(controlSocket, identity, context(as?.port ?? 0))
    } else {
      const member = memberOptions(options)
      const claims = await ownClaims(member, asked)
      identity = claims.identity
      const port = as !== undefined && as.port !== 0 ? as.port : (portOf(options.port ?? ports.entry) ?? 0)
      running = await connectByNetwork(member, claims, context(port))
    }
    const { entry } = running
    ready.ready()
    io.say(`entry of ${formatSpiffeId(identity)} on ${entry.address.host}:${entry.address.port}`)
    io.say('ready: end it with Ctrl-C')
    await stop.first
    ready.notReady('the entry is being stopped')
    await entry.drain(drainMs)
    return exitCodes.fine
  } catch (error) {
    if (error instanceof Stopped) return exitCodes.fine
    io.say(`waymark connect: can not start: ${describe(error)}`)
    return exitCodes.failed
  } finally {
    await running?.close()
    await probes?.close()
    stop.release()
  }
}

/** A signal came before there was anything to drain. */
class Stopped extends Error {}

function memberOptions(options: ConnectVerbOptions): MemberOptions {
  return {
    trustDomain: options.trustDomain,
    controller: options.controller ?? { host: `${install.controller}.${install.namespace}.svc`, port: ports.control },
    controllerId: options.controllerId,
    tokenFile: options.tokenFile ?? install.tokenFile,
    bundleFile: options.bundleFile ?? install.bundleFile,
    state: options.state ?? install.stateDirectory,
  }
}
