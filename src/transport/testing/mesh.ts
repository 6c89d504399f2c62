import { generateKeyPairSync } from 'node:crypto'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { issueSvid } from '../../../ca/issue.ts'
import { makeRoot, randomSerial } from '../../../ca/root.ts'
import type { Authority } from '../../../ca/root.ts'
import type { Credentials } from '../../model/credentials.ts'
import { formatSpiffeId } from '../../model/identity.ts'
import type { Identity } from '../../model/identity.ts'
import { toldCredentials, type ToldCredentials } from '../../publish/threads.ts'

const day = 86_400_000

/** Credentials that a test changes by hand. */
export type TestSource = ToldCredentials

/** A CA in memory that makes credentials for tests. */
export interface TestMesh {
  readonly root: Authority
  readonly id: (serviceAccount: string, namespace?: string) => string
  readonly issue: (serviceAccount: string, options?: IssueOptions) => Credentials
  readonly source: (serviceAccount: string, namespace?: string) => TestSource
}

export interface IssueOptions {
  readonly notAfterMs?: number
  readonly bundle?: readonly string[]
  readonly root?: Authority
  readonly namespace?: string
}

/** A mesh of trust domain `trustDomain` whose members live in namespace `shop` unless it is said. */
export function testMesh(trustDomain = 'mesh.example'): TestMesh {
  const root = makeRoot(trustDomain, { nowMs: Date.now() })
  const identity = (serviceAccount: string, namespace = 'shop'): Identity => ({ trustDomain, namespace, serviceAccount })
  const issue: TestMesh['issue'] = (serviceAccount, options = {}) => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const notBeforeMs = Date.now() - 60_000
    const notAfterMs = options.notAfterMs ?? Date.now() + day
    const der = issueSvid(options.root ?? root, {
      identity: identity(serviceAccount, options.namespace),
      publicKey: publicKey.export({ type: 'spki', format: 'der' }),
      notBeforeMs,
      notAfterMs,
      serial: randomSerial(),
    })
    return {
      identity: identity(serviceAccount, options.namespace),
      certificateChainPem: `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`,
      privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      trustBundlePem: options.bundle ?? [root.rootPem],
      notBeforeMs,
      notAfterMs,
    }
  }
  return {
    root, issue,
    id: (serviceAccount, namespace) => formatSpiffeId(identity(serviceAccount, namespace)),
    source: (serviceAccount, namespace) => toldCredentials(issue(serviceAccount, namespace === undefined ? {} : { namespace })),
  }
}

/** A TCP server on loopback with half-open connections. */
export async function listenTcp(onConnection: (socket: Socket) => void): Promise<{ readonly port: number; readonly close: () => void }> {
  const sockets = new Set<Socket>()
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
    onConnection(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** A half-open TCP connection to loopback, connected. */
export async function dialLoopback(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true })
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      socket.on('error', () => {})
      resolve()
    })
  })
  return socket
}
