import { isIPv4, isIPv6 } from 'node:net'
import type { EndpointSlice, Service } from './core.ts'
import { show, type FieldPath, type FieldProblem } from './field.ts'
import type { Resource } from './resources.ts'

/**
 * Rules of Kubernetes' own kinds that compare several fields, for objects whose shape is good.
 * Source: Kubernetes 1.36 API reference, Service and EndpointSlice.
 */
export function checkCore(object: Resource): FieldProblem[] {
  if (object.kind === 'Service') return checkService(object)
  if (object.kind === 'EndpointSlice') return checkEndpointSlice(object)
  return []
}

/** A Service or EndpointSlice with what the API server fills in that depends on other fields. */
export function fillCore(object: Resource): Resource {
  if (object.kind !== 'Service' || object.spec?.ports === undefined) return object
  const ports = object.spec.ports.map((port) => ({ ...port, targetPort: port.targetPort ?? port.port }))
  return { ...object, spec: { ...object.spec, ports } }
}

function checkService(service: Service): FieldProblem[] {
  const problems: FieldProblem[] = []
  const wrong = (path: FieldPath, message: string, advice: string): void => void problems.push(error(['spec', ...path], message, advice))
  const { type, clusterIP, clusterIPs, externalName, ports = [] } = service.spec ?? {}
  if (type === 'ExternalName') {
    if ((externalName ?? '') === '') wrong(['externalName'], 'a Service of type ExternalName needs one', 'add spec.externalName')
    return problems
  }
  if (ports.length === 0 && clusterIP !== 'None') wrong(['ports'], 'a Service with a cluster IP needs at least one port', 'add spec.ports')
  const names = new Set<string>()
  for (const [at, port] of ports.entries()) {
    if (port.name === undefined) {
      const advice = `add spec.ports[${at}].name`
      if (ports.length > 1) wrong(['ports', at, 'name'], 'every port of a Service with several ports needs a name', advice)
    } else if (names.has(port.name)) {
      wrong(['ports', at, 'name'], `another port is called ${port.name}, too`, 'rename one of the two')
    } else names.add(port.name)
    const { targetPort } = port
    if (typeof targetPort === 'number' ? targetPort < 1 || targetPort > 65535 : targetPort === '') {
      const advice = 'give a number from 1 to 65535 or the name of a container port'
      wrong(['ports', at, 'targetPort'], `is out of range: ${targetPort}`, advice)
    }
  }
  if (clusterIP !== undefined && clusterIPs?.[0] !== undefined && clusterIPs[0] !== clusterIP) {
    wrong(['clusterIPs', 0], 'must be the same as spec.clusterIP', `change it to ${clusterIP === '' ? "''" : clusterIP}`)
  }
  return problems
}

function checkEndpointSlice(slice: EndpointSlice): FieldProblem[] {
  const fits = { IPv4: isIPv4, IPv6: isIPv6, FQDN: (text: string) => text !== '' }[slice.addressType]
  const problems: FieldProblem[] = []
  for (const [at, endpoint] of (slice.endpoints ?? []).entries()) {
    for (const [position, address] of endpoint.addresses.entries()) {
      if (fits(address)) continue
      const path = ['endpoints', at, 'addresses', position]
      const other = isIPv4(address) ? 'IPv4' : isIPv6(address) ? 'IPv6' : undefined
      const unresolved = 'write an IP address; host names are not resolved'
      const advice = other === undefined ? unresolved : `put it into a slice of addressType ${other}`
      const expected = `an address of type ${slice.addressType}`
      problems.push({ ...error(path, `invalid address ${show(address)}`, advice), expected })
    }
  }
  return problems
}

function error(path: FieldPath, message: string, advice: string): FieldProblem {
  return { severity: 'error', path, message, advice }
}
