import type { KubeClient } from '../../kube/client.ts'

/** How other meshes mark the namespaces whose traffic they capture. */
const marks: readonly { readonly mesh: string; readonly on: 'labels' | 'annotations'; readonly key: string; readonly values?: readonly string[] }[] = [
  { mesh: 'Istio ambient', on: 'labels', key: 'istio.io/dataplane-mode', values: ['ambient'] },
  { mesh: 'Istio sidecars', on: 'labels', key: 'istio-injection', values: ['enabled'] },
  { mesh: 'Istio sidecars', on: 'labels', key: 'istio.io/rev' },
  { mesh: 'Linkerd', on: 'annotations', key: 'linkerd.io/inject', values: ['enabled', 'ingress'] },
  { mesh: 'Kuma', on: 'labels', key: 'kuma.io/sidecar-injection', values: ['enabled'] },
  { mesh: 'Open Service Mesh', on: 'labels', key: 'openservicemesh.io/monitored-by' },
]

interface Marked {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> | undefined; readonly annotations?: Readonly<Record<string, string>> | undefined }
}

/** Namespaces that another mesh captures, with its name. @throws {KubeError} */
export async function otherMeshes(client: KubeClient): Promise<readonly { readonly namespace: string; readonly mesh: string }[]> {
  const { items } = (await client.get('/api/v1/namespaces')) as { readonly items: readonly Marked[] }
  return items.flatMap(meshesOf)
}

/** Other meshes that capture one namespace. */
export function meshesOf({ metadata }: Marked): readonly { readonly namespace: string; readonly mesh: string }[] {
  const found = marks.filter(({ on, key, values }) => {
    const value = metadata[on]?.[key]
    return value !== undefined && (values === undefined || values.includes(value))
  })
  return [...new Set(found.map(({ mesh }) => mesh))].map((mesh) => ({ namespace: metadata.name, mesh }))
}
