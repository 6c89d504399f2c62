import { parseAllDocuments, stringify } from 'yaml'
import { resourceSetOf, type Resource } from '../../api/resources.ts'
import { translate } from '../../translate/translate.ts'
import type { Installation } from '../installation.ts'
import { renderGateway, renderWaypoint } from '../render.ts'

/** An installation with nothing out of the ordinary. */
export const plainInstallation: Installation = {
  namespace: 'waymark-system',
  image: 'registry.example.org/waymark:1.0.0',
  imagePullPolicy: 'IfNotPresent',
  imagePullSecrets: [],
  trustDomain: 'cluster.local',
  accessLog: 'json',
}

/** The golden output of an input: what runs for its Gateways. A document of kind `Installation` sets fields of the installation. */
export function renderGolden(text: string): string {
  const documents = parseAllDocuments(text).map((document) => document.toJS() as Resource | (Partial<Installation> & { readonly kind: 'Installation' }))
  const given = documents.find((document) => document.kind === 'Installation')
  const installation: Installation = { ...plainInstallation, ...(given as Partial<Installation> | undefined) }
  const resources = resourceSetOf(documents.filter((document): document is Resource => document.kind !== 'Installation'))
  const objects = translate(resources, { trustDomain: installation.trustDomain }).infra.flatMap((infra) =>
    infra.gatewayUid === undefined ? [renderGateway(infra.namespace, infra.name)]
    : infra.parameters === undefined ? []
    : renderWaypoint({ ...infra, parameters: infra.parameters }, installation),
  )
  return objects.map((object) => stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })).join('---\n')
}
