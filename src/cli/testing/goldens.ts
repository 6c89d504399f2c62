import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { runInProcess } from './command.ts'

/** A command line and the file that holds what it must print. */
export interface GoldenCase {
  readonly file: string
  readonly args: readonly string[]
}

export const goldenFolder = new URL('../testdata/golden/', import.meta.url)

const mesh = ['-f', 'src/cli/testdata/mesh']
const explain = (from: string, ...rest: readonly string[]): readonly string[] => ['explain', ...mesh, '--from', from, ...rest]
const grpc = ['-H', 'content-type: application/grpc'] as const

/** Every kind of output once. */
export const goldenCases: readonly GoldenCase[] = [
  { file: 'check.txt', args: ['check', '-f', 'src/cli/testdata/broken'] },
  { file: 'check.json', args: ['check', '-f', 'src/cli/testdata/broken', '-o', 'json'] },
  { file: 'check-mesh.yaml', args: ['check', ...mesh, '-o', 'yaml'] },
  { file: 'translate.yaml', args: ['translate', ...mesh] },
  { file: 'statuses.yaml', args: ['translate', ...mesh, '--statuses'] },
  { file: 'statuses.json', args: ['translate', ...mesh, '--statuses', '-o', 'json'] },
  { file: 'explain-redirect.txt', args: explain('shop/till', 'http://web/old?x=1') },
  { file: 'explain-rewrite.txt', args: explain('guests/visitor', '-H', 'x-debug: 1', 'http://web.shop/x/../api/users') },
  { file: 'explain-rewrite.json', args: explain('guests/visitor', '-H', 'x-debug: 1', '-o', 'json', 'http://web.shop/x/../api/users') },
  { file: 'explain-header.txt', args: explain('shop/till', '-H', 'X-User: jason', 'GET', 'http://web.shop.svc/api') },
  { file: 'explain-no-route.yaml', args: explain('shop/till', '-o', 'yaml', 'http://10.0.0.1/') },
  { file: 'explain-invalid-backend.txt', args: explain('shop/till', 'http://web/broken') },
  { file: 'explain-filter-unresolved.txt', args: explain('shop/till', 'http://web/plugin') },
  { file: 'explain-malformed.txt', args: explain('shop/till', 'http://web/a%2fb') },
  { file: 'explain-consumer.txt', args: explain('club/reader', 'http://web.shop/api') },
  { file: 'explain-no-routes.txt', args: explain('shop/till', 'http://web:81/') },
  { file: 'explain-no-waypoint.txt', args: explain('shop/till', 'http://notes.guests:8080/') },
  { file: 'explain-pod.txt', args: explain('shop/till', 'http://10.1.9.9:8080/') },
  { file: 'explain-unknown.txt', args: explain('shop/till', 'http://web:8080/') },
  { file: 'explain-grpc.txt', args: explain('shop/till', ...grpc, 'http://cart:50051/shop.Cart/Add') },
  { file: 'explain-grpc-no-route.txt', args: explain('shop/till', ...grpc, 'http://cart:50051/shop.Cart/Drop') },
  { file: 'explain-tcp.txt', args: explain('shop/till', 'tcp://db:5432') },
  { file: 'explain-tls.txt', args: explain('shop/till', '-H', 'host: eu.db.shop', 'tls://db:5433') },
  { file: 'explain-tls-no-route.txt', args: explain('shop/till', 'tls://db:5433') },
  { file: 'explain-from-pod.json', args: ['explain', ...mesh, '-o', 'json', '--from', 'pod/lone.guests', 'http://web.shop/api'] },
  { file: 'explain-tls-on-http.txt', args: explain('shop/till', 'https://web:80/') },
]

// Writes the golden files anew: read the difference before you commit it.
if (import.meta.main) {
  for (const file of readdirSync(goldenFolder)) rmSync(new URL(file, goldenFolder))
  for (const { file, args } of goldenCases) writeFileSync(new URL(file, goldenFolder), (await runInProcess(...args)).out)
}
