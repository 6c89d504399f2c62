import { createInterface } from 'node:readline'
import { runController } from '../../../src/control/run-controller.ts'
import { messageOf } from '../../../src/kit/message.ts'
import { install, ports } from '../../../src/model/install.ts'
import { startApiServer } from '../../../test/simulated/api-server.ts'
import type { Answer, ControlOperation, ControlOperations } from './control-protocol.ts'

// The control plane of the rig: a simulated API server and a real controller with its CA. To be started in a node's namespace: node control.ts NODE-ADDRESS [SECONDS that certificates live]

const [podIp = '127.0.0.1', svidSeconds = '3600'] = process.argv.slice(2)
const server = await startApiServer()
server.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: install.namespace } })
const controller = await runController({
  kubeConfig: () => server.kubeConfig(), pod: 'waymark-controller-0', podIp, nodeAgent: true,
  installation: { namespace: install.namespace, image: 'waymark:none', imagePullPolicy: 'Never', imagePullSecrets: [], trustDomain: 'cluster.local', accessLog: 'none' },
  svidLifetimeMs: Number(svidSeconds) * 1000, host: '::', controlPort: ports.control, stopped: new Promise(() => {}),
  log: (line) => process.stderr.write(`controller: ${line}\n`),
})
if (controller === undefined) throw new Error('the controller did not start')

const perform: { readonly [Name in ControlOperation]: (spec: ControlOperations[Name]['spec']) => ControlOperations[Name]['result'] } = {
  put: (objects) => objects.map((object) => server.put(object).metadata.uid ?? ''),
  get: (name) => server.get(name),
  list: ({ kind, namespace }) => server.list(kind, namespace),
  delete: (name) => server.delete(name),
  token: (pod) => {
    const object = server.get({ kind: 'Pod', ...pod })
    const { serviceAccountName = 'default' } = (object?.['spec'] ?? {}) as { readonly serviceAccountName?: string }
    return server.tokens.issue({ namespace: pod.namespace, serviceAccount: serviceAccountName, audiences: [install.tokenAudience], pod: { name: pod.name, uid: object?.metadata.uid ?? '' } })
  },
  bundle: () => controller.ca.bundle().join('\n'),
}

const say = (answer: Answer): void => void process.stdout.write(`${JSON.stringify(answer)}\n`)
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { id, operation, spec } = JSON.parse(line) as { readonly id: number; readonly operation: ControlOperation; readonly spec: never }
    try {
      say({ id, result: perform[operation](spec) })
    } catch (error) {
      say({ id, failed: messageOf(error) })
    }
  })
  .on('close', () => process.exit())
say({ id: 0, result: true })
