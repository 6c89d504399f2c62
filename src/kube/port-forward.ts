import { request, type IncomingMessage } from 'node:http'
import { Duplex, PassThrough } from 'node:stream'
import { PortForward, type KubeConfig } from '@kubernetes/client-node'
import { messageOf } from '../kit/message.ts'
import { KubeError } from './errors.ts'

/** Names a pod. */
export interface PodName {
  readonly namespace: string
  readonly name: string
}

/** What a process in a pod answers. */
export interface PodPage {
  readonly status: number
  readonly text: string
}

/**
 * Reaches ports of pods through the API server and the node's kubelet, also those that listen on the pod's loopback alone or that network
 * policies shield. Asking needs the rights to get and to create `pods/portforward`: an upgrade is a GET, and Kubernetes 1.35 asks for both.
 */
export interface PodPorts {
  /**
   * GET of a page that a process in the pod serves.
   * @param timeoutMs for all of it; default 10 s
   * @throws {KubeError} with the API server's status if it does not let us, 0 if nothing answers; whatever the page says is an answer
   */
  readonly get: (pod: PodName, port: number, path: string, timeoutMs?: number) => Promise<PodPage>
  /**
   * GET of a page that does not end: its lines as they come, without their ends, until the process ends it or `signal` does.
   * @throws {KubeError} as `get`, and if the page is refused or breaks off
   */
  readonly lines: (pod: PodName, port: number, path: string, signal: AbortSignal) => AsyncIterable<string>
}

const defaultTimeoutMs = 10_000
/** The greatest page that is read, bytes: a snapshot of a very large cluster. */
const maxBytes = 512 * 1024 * 1024
/** The longest line of a page without an end, characters. */
const longestLine = 1024 * 1024

/** @param load reads the kubeconfig; once for each page, for tokens end */
export function createPodPorts(load: () => KubeConfig): PodPorts {
  return {
    get: async (pod, port, path, timeoutMs = defaultTimeoutMs) => {
      const what = `GET ${path} of port ${port} of pod ${pod.namespace}/${pod.name}`
      const abort = AbortSignal.timeout(timeoutMs)
      const stream = await openPort(load(), pod, port, what, abort)
      try {
        return await getPage(stream, port, path, what, abort)
      } finally {
        stream.destroy()
      }
    },
    lines: async function* (pod, port, path, signal) {
      const what = `GET ${path.replace(/\?.*/, '')} of port ${port} of pod ${pod.namespace}/${pod.name}`
      const opening = new AbortController()
      const timer = setTimeout(() => opening.abort(), defaultTimeoutMs)
      const abort = AbortSignal.any([signal, opening.signal])
      try {
        const stream = await openPort(load(), pod, port, what, abort)
        try {
          yield* readLines(await getAnswer(stream, port, path, abort), what, () => clearTimeout(timer))
        } finally {
          stream.destroy()
        }
      } catch (error) {
        if (signal.aborted) return
        throw error instanceof KubeError ? error : failed(error, what, opening.signal)
      } finally {
        clearTimeout(timer)
      }
    },
  }
}

async function* readLines(answer: IncomingMessage, what: string, onHead: () => void): AsyncGenerator<string, void, undefined> {
  let rest = ''
  const isGood = answer.statusCode === 200
  if (isGood) onHead()
  for await (const chunk of answer.setEncoding('utf8') as AsyncIterable<string>) {
    rest += chunk
    if (rest.length > longestLine) throw new KubeError(0, '', `${what}: a line is too long`)
    if (!isGood) continue
    const lines = rest.split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  if (!isGood) throw new KubeError(0, '', `${what}: ${answer.statusCode ?? 0} ${rest.trim()}`)
}

/** The part of the library's web socket that is used here; its own types are those of a package that it does not bring. */
interface Socket {
  onclose: (() => void) | null
  readonly close: () => void
}

/** Opens a connection to a port in a pod's own network namespace. The library's stream of errors becomes the error of the connection. */
async function openPort(config: KubeConfig, pod: PodName, port: number, what: string, abort: AbortSignal): Promise<Duplex> {
  const incoming = new PassThrough()
  const outgoing = new PassThrough()
  const complaints = new PassThrough()
  const open = new PortForward(config).portForward(encodeURIComponent(pod.namespace), encodeURIComponent(pod.name), [port], incoming, complaints, outgoing) as unknown as Promise<Socket>
  let socket: Socket
  try {
    socket = await Promise.race([open, aborted(abort, what)])
  } catch (error) {
    // It may still open.
    void open.then((late) => late.close(), () => {})
    throw refusal(error, what)
  }
  const stream = Duplex.from({ readable: incoming, writable: outgoing })
  // Whoever reads learns of it; without a listener it would end the process.
  stream.on('error', () => {})
  stream.once('close', () => socket.close())
  complaints.on('data', (text: Buffer) => {
    if (text.length > 0) stream.destroy(new KubeError(0, '', `${what}: ${complaint(text.toString())}`))
  })
  socket.onclose = () => incoming.end()
  return stream
}

/** What a kubelet says is long, and of its own affairs, where nothing listens on a port. */
function complaint(text: string): string {
  return text.includes('connection refused') ? 'nothing listens there' : text.trim()
}

function aborted(abort: AbortSignal, what: string): Promise<never> {
  return new Promise((_, reject) => {
    abort.addEventListener('abort', () => reject(new KubeError(0, '', `${what}: no answer in time`)), { once: true })
  })
}

/** What the upgrade was refused with: the library says it only in words. */
function refusal(error: unknown, what: string): KubeError {
  if (error instanceof KubeError) return error
  const message = typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error)
  const status = Number(/Unexpected server response: (\d{3})/.exec(message)?.[1] ?? 0)
  return new KubeError(status, '', `${what}: ${status === 403 ? '403 pods/portforward is forbidden' : message}`, undefined, { cause: error })
}

async function getPage(stream: Duplex, port: number, path: string, what: string, abort: AbortSignal): Promise<PodPage> {
  try {
    const answer = await getAnswer(stream, port, path, abort)
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > maxBytes) throw new KubeError(0, '', `${what}: the page is too long`)
      chunks.push(chunk)
    }
    return { status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() }
  } catch (error) {
    throw error instanceof KubeError ? error : failed(error, what, abort)
  }
}

function getAnswer(stream: Duplex, port: number, path: string, abort: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // The admin pages answer only to their own names.
    const sent = request({ host: '127.0.0.1', port, path, signal: abort, createConnection: () => stream, headers: { connection: 'close' } }, resolve)
    sent.on('error', reject)
    stream.once('error', reject)
    sent.end()
  })
}

function failed(error: unknown, what: string, abort: AbortSignal): KubeError {
  return new KubeError(0, '', `${what}: ${abort.aborted ? 'no answer in time' : messageOf(error)}`, undefined, { cause: error })
}
