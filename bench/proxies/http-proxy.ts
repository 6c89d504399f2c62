import { Agent } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createProxyServer } from 'http-proxy-3'
import type { Credentials } from '../../src/model/credentials.ts'
import { cipherSuite } from '../certificates.ts'
import { runScript } from '../children.ts'

export interface HttpProxyOptions {
  readonly credentials: Credentials
  readonly backendPort: number
}

// http-proxy-3 as a person would put it behind plain mTLS: no routes, no metrics, no policy.
runScript<HttpProxyOptions>(async ({ credentials, backendPort }) => {
  const proxy = createProxyServer({ target: `http://127.0.0.1:${backendPort}`, agent: new Agent({ keepAlive: true, maxSockets: 256 }) })
  proxy.on('error', (error) => process.stderr.write(`http-proxy-3: ${error.message}\n`))
  const server = createServer({
    cert: credentials.certificateChainPem, key: credentials.privateKeyPem, ca: [...credentials.trustBundlePem],
    requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3', ciphers: cipherSuite, keepAliveTimeout: 600_000,
  }, (request, response) => { proxy.web(request, response) })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { port: (server.address() as AddressInfo).port }
})
