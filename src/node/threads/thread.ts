import { parentPort, workerData, type MessagePort } from 'node:worker_threads'
import { systemClock } from '../../kit/clock.ts'
import { collectLess } from '../../kit/collections.ts'
import { messageOf } from '../../kit/message.ts'
import { runConfigurations, toldCredentials, type ToldCredentials } from '../../publish/threads.ts'
import { answerTaps } from '../../telemetry/tap-relay.ts'
import { NetworkError, type Networks, type PodNetwork } from '../network.ts'
import { openThreadTelemetry } from '../thread-telemetry.ts'
import { createPlane, type PodTraffic } from '../traffic/plane.ts'
import type { Ears, FromThread, PodRequest, ThreadFailure, ThreadPod, ThreadStart, ToThread } from './messages.ts'

/** A pod that this thread carries. */
interface Carried {
  readonly network: PodNetwork
  readonly traffic: PodTraffic
  readonly started: Promise<void>
}

/**
 * A thread that carries connections: a whole data plane, with its own listeners in every pod, sessions and counters. It knows nothing of controllers,
 * rules and certificates' keys on disk; what it is told comes from the main thread, in order. Whatever is thrown ends the thread, and the main thread
 * starts another.
 */
async function carry(port: MessagePort, start: ThreadStart): Promise<void> {
  const say = (message: FromThread): void => port.postMessage(message)
  const { node, unknown, accessLog, maxConnections } = start
  const { networks } = await import(start.networks) as { readonly networks: Networks }
  collectLess(systemClock)
  const { telemetry, counters, tap, flushed } = openThreadTelemetry(node, accessLog, systemClock)
  const answerTap = answerTaps(tap, say)
  const plane = createPlane({ node, unknown, telemetry, maxConnections, clock: systemClock, originalDestination: networks.originalDestination })
  const accounts = new Map<number, ToldCredentials>()
  const pods = new Map<number, Carried>()

  const tellCount = (): void => say({ type: 'counts', counts: counters.counts(), pods: [...pods].map(([id, { traffic }]) => [id, traffic.stats()]) })
  const certify = async (traffic: PodTraffic | undefined, account: number): Promise<void> => {
    const credentials = accounts.get(account)
    if (credentials !== undefined) await traffic?.certify(credentials)
  }
  const open = ({ id, uid, place, account }: ThreadPod): Promise<void> => {
    const network = networks.open(place)
    const traffic = plane.open(uid, network)
    const begin = async (): Promise<void> => {
      if (account !== undefined) await certify(traffic, account)
      await traffic.start()
    }
    const started = begin()
    pods.set(id, { network, traffic, started })
    started.catch(() => close(id))
    return started
  }
  const close = async (id: number): Promise<void> => {
    const one = pods.get(id)
    pods.delete(id)
    await one?.traffic.close()
    one?.network.close()
  }
  const earsOf = async (one: Carried | undefined): Promise<Ears> => one === undefined ? 'without' : (await one.traffic.deaf()) ? 'gone' : 'fine'
  const serve = async (id: number, request: PodRequest): Promise<Ears | undefined> => {
    const one = pods.get(id)
    switch (request.what) {
      case 'start':
        await (one?.started ?? open(request.pod))
        return undefined
      case 'certify':
        await certify(one?.traffic, request.account)
        return undefined
      case 'drain':
        await one?.traffic.drain(request.deadlineMs)
        return undefined
      case 'close':
        await close(id)
        return undefined
      case 'deaf':
        return earsOf(one)
    }
  }
  const answer = (call: number, id: number, request: PodRequest): void => {
    serve(id, request).then(
      (ears) => say({ type: 'done', call, ...(ears === undefined ? {} : { ears }) }),
      (error: unknown) => say({ type: 'done', call, failure: failureOf(error) }),
    )
  }
  const end = async (): Promise<void> => {
    await flushed()
    tellCount()
    say({ type: 'ended' })
  }

  const configure = runConfigurations(start.configuration, plane.configure, say)
  for (const { account, credentials } of start.accounts) accounts.set(account, toldCredentials(credentials))
  await Promise.all(start.pods.map(async (pod) => {
    try {
      await open(pod)
    } catch (error) {
      say({ type: 'without', id: pod.id, failure: failureOf(error) })
    }
  }))
  // What was said since the start has waited for this.
  port.on('message', (message: ToThread) => {
    switch (message.type) {
      case 'configure':
        configure(message)
        return
      case 'account': {
        const known = accounts.get(message.account)
        if (known === undefined) accounts.set(message.account, toldCredentials(message.credentials))
        else known.set(message.credentials)
        return
      }
      case 'forget':
        accounts.delete(message.account)
        return
      case 'pod':
        answer(message.call, message.id, message.request)
        return
      case 'count':
        tellCount()
        return
      case 'tap':
      case 'untap':
        answerTap(message)
        return
      case 'end':
        void end()
    }
  })
  say({ type: 'ready' })
}

function failureOf(error: unknown): ThreadFailure {
  if (error instanceof NetworkError) return { message: error.message, code: error.code, syscall: error.syscall }
  return { message: messageOf(error) }
}

// Loaded anywhere else, this file does nothing.
if (parentPort !== null && (workerData as Partial<ThreadStart> | null)?.kind === 'agent') await carry(parentPort, workerData as ThreadStart)
