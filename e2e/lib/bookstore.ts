import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import type { App } from './case.ts'
import { root } from './cluster.ts'
import { appDeployment, clientObjects, type Images } from './manifests.ts'
import type { KubeObject } from './objects.ts'

/** The pods behind the example's Services, and their names: those that its endpoints have in the standalone mesh. */
const apps: readonly { readonly namespace: string; readonly name: string; readonly app: App }[] = [
  { namespace: 'books', name: 'reviews-v1', app: { app: 'reviews', version: 'v1', httpPort: 9080 } },
  { namespace: 'books', name: 'reviews-v2', app: { app: 'reviews', version: 'v2', httpPort: 9080 } },
  { namespace: 'books', name: 'ratings-a', app: { app: 'ratings', version: 'a', httpPort: 9080 } },
  // Always fails; the route's retry hides it.
  { namespace: 'books', name: 'ratings-b', app: { app: 'ratings', version: 'b', httpPort: 9080, answer: 503 } },
  { namespace: 'books', name: 'details-1', app: { app: 'details', version: 'v1', httpPort: 9080 } },
  { namespace: 'reading-club', name: 'notes-1', app: { app: 'notes', version: 'v1', httpPort: 8080 } },
]

/** The workloads that enter the mesh: a pod of that name for each. */
const clients = [{ namespace: 'books', name: 'productpage' }, { namespace: 'shop', name: 'till' }, { namespace: 'reading-club', name: 'member' }] as const

/**
 * examples/bookstore as a cluster takes it: its Gateways, Services and routes; Deployments in place of the EndpointSlices that it writes by hand;
 * cluster IPs that the cluster chooses; namespaces in the mesh, and a client pod in each.
 */
export function bookstore(images: Images): readonly KubeObject[] {
  const files = globSync('examples/bookstore/*.yaml', { cwd: root }).sort()
  const written = files.flatMap((file) => parseAllDocuments(readFileSync(join(root, file), 'utf8')).map((document) => document.toJS() as KubeObject))
  const kept = written.filter(({ kind }) => kind !== 'EndpointSlice').map(adapt)
  return [
    ...kept.filter(({ kind }) => kind === 'Namespace'),
    ...kept.filter(({ kind }) => kind !== 'Namespace'),
    ...apps.map(({ namespace, name, app }) => appDeployment(namespace, name, app, images)),
    ...clients.flatMap(({ namespace, name }) => clientObjects(namespace, images, name)),
  ]
}

function adapt(object: KubeObject): KubeObject {
  if (object.kind === 'Namespace') return { ...object, metadata: { ...object.metadata, labels: { ...object.metadata.labels, 'waymark.dev/mesh': 'enabled' } } }
  if (object.kind !== 'Service') return object
  const { clusterIP, ...spec } = object['spec'] as { readonly clusterIP?: string }
  return clusterIP === undefined ? object : { ...object, spec }
}

/** What to try, and what is then seen. */
export const bookstoreTries: readonly { readonly title: string; readonly command: string; readonly expect: string }[] = [
  {
    title: 'canary: 100 requests, 90 to v1 and 10 to v2',
    command: 'kubectl exec -n reading-club member -c driver -- ask -n 100 http://reviews.books:9080/',
    expect: '90 × 200 reviews-v1-…, 10 × 200 reviews-v2-…',
  },
  {
    title: 'A/B test by a header: Jason always gets v2',
    command: 'kubectl exec -n books productpage -c driver -- ask -n 10 -H x-user:jason http://reviews.books:9080/',
    expect: '10 × 200 reviews-v2-…',
  },
  {
    title: 'consumer route: callers in shop get v2, whatever the producer says; nobody else does',
    command: 'kubectl exec -n shop till -c driver -- ask -n 10 http://reviews.books:9080/',
    expect: '10 × 200 reviews-v2-…',
  },
  {
    title: 'retry: one of the two pods of ratings always fails, and nobody notices',
    command: 'kubectl exec -n books productpage -c driver -- ask -n 20 http://ratings.books:9080/',
    expect: '20 × 200 ratings-a-…',
  },
  {
    title: 'timeout: the backend takes 2 s, the route allows 500 ms',
    command: 'kubectl exec -n books productpage -c driver -- ask \'http://details.books:9080/details?delay=2000\'',
    expect: '504 and x-waypoint-reason: request-timeout',
  },
  {
    title: 'change the canary: half and half, live in a moment',
    command: `kubectl patch httproute -n books reviews --type json -p '[{"op":"replace","path":"/spec/rules/1/backendRefs/0/weight","value":50},{"op":"replace","path":"/spec/rules/1/backendRefs/1/weight","value":50}]'`,
    expect: 'the first line above now gives 50 and 50',
  },
  {
    title: 'what the mesh says of the routes',
    command: 'kubectl get httproute -A -o custom-columns=\'NAMESPACE:.metadata.namespace,NAME:.metadata.name,CONDITIONS:.status.parents[*].conditions[*].type\'',
    expect: 'Accepted, ResolvedRefs and waymark.dev/Programmed for each',
  },
]
