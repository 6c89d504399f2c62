import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { cipherSuite, type Certificates } from '../certificates.ts'
import { proxyCpu, startServer, type Child } from '../children.ts'

/** A proxy that is no JavaScript, from a Debian package. */
export interface NativeProxy {
  readonly name: 'nginx' | 'HAProxy'
  /** Name and version; undefined: it is not installed. */
  readonly version: string | undefined
  readonly start: (options: NativeOptions) => Promise<Child>
}

export interface NativeOptions {
  readonly certificates: Certificates
  readonly backendPort: number
  /** Private to this run. */
  readonly directory: string
}

const forever = 1_000_000_000

/** One worker, TLS 1.3 mTLS in, plain keep-alive connections out, no access log. */
function nginxConfig({ certificates: { files }, backendPort, directory }: NativeOptions, port: number): string {
  return `daemon off;
master_process off;
worker_processes 1;
pid ${directory}/nginx.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path ${directory};
  proxy_temp_path ${directory};
  fastcgi_temp_path ${directory};
  uwsgi_temp_path ${directory};
  scgi_temp_path ${directory};
  tcp_nodelay on;
  upstream backend { server 127.0.0.1:${backendPort}; keepalive 256; keepalive_requests ${forever}; }
  server {
    listen 127.0.0.1:${port} ssl;
    keepalive_requests ${forever};
    keepalive_timeout 600s;
    ssl_certificate ${files.certificate};
    ssl_certificate_key ${files.key};
    ssl_client_certificate ${files.roots};
    ssl_verify_client on;
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites ${cipherSuite};
    ssl_session_tickets off;
    location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }
  }
}
`
}

/** One thread, TLS 1.3 mTLS in, plain keep-alive connections out, no log. */
function haproxyConfig({ certificates: { files }, backendPort }: NativeOptions, port: number): string {
  const tls = `ssl crt ${files.both} ca-file ${files.roots} verify required ssl-min-ver TLSv1.3 ciphersuites ${cipherSuite} no-tls-tickets alpn http/1.1`
  return `global
  nbthread 1
  maxconn 1024
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
frontend mesh
  bind 127.0.0.1:${port} ${tls}
  default_backend web
backend web
  server one 127.0.0.1:${backendPort} maxconn 256 pool-max-conn -1
`
}

export function nativeProxies(): readonly NativeProxy[] {
  return [
    { name: 'nginx', version: versionOf('nginx', ['-v']), start: (options) => start(options, 'nginx.conf', nginxConfig, (path) => ['nginx', '-p', options.directory, '-c', path]) },
    { name: 'HAProxy', version: versionOf('haproxy', ['-v']), start: (options) => start(options, 'haproxy.cfg', haproxyConfig, (path) => ['haproxy', '-db', '-f', path]) },
  ]
}

async function start(
  options: NativeOptions, file: string, configOf: (options: NativeOptions, port: number) => string, command: (path: string) => string[],
): Promise<Child> {
  const port = await freePort()
  const path = join(options.directory, file)
  writeFileSync(path, configOf(options, port))
  return startServer(proxyCpu, command(path), port, takesConnections)
}

function versionOf(command: string, args: readonly string[]): string | undefined {
  const { error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  return error === undefined ? /version:? (?:nginx\/)?([0-9][^\s-]*)/.exec(stdout + stderr)?.[1] : undefined
}

/** Ours for a moment; nobody else starts servers while a benchmark runs. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
