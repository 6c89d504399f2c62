import type { Paint } from '../io.ts'
import { endpointWords } from './words.ts'
import type { ExplainedAnswer, ExplainedBackend, ExplainedCaller, ExplainedCandidate, ExplainedPolicy, Explanation } from './explanation.ts'

const marks = { 'won': '+', 'no match': '-', 'matches, but ranks lower': '~' } as const

/** An explanation for people: a heading, then one topic after the other. */
export function formatExplanation(explanation: Explanation, paint: Paint): string {
  const { caller, pod, way, request, destination, waypoint, level, because, candidates, rule, backends, policies = [], answer } = explanation
  const lines = [paint('bold', request.text), ...(pod === undefined ? [] : podLines(pod, paint)), topic(pod === undefined ? 'from' : 'as', caller)]
  if (request.path !== undefined) lines.push(topic('judged as', `${request.method ?? ''} ${request.path}${request.query ?? ''}, host ${request.authority ?? ''}`))
  if (destination !== undefined) lines.push(topic('to', destinationWords(destination)))
  if (way !== undefined) lines.push(topic('way', wayWords(way, explanation)))
  lines.push(topic('waypoint', waypoint === undefined ? 'none' : waypoint.name))
  lines.push(topic('routes', level === 'none' ? 'none' : `${level} level`), topic('', because))
  lines.push(...listTopic('policies', policies.map((each) => policyLine(each, paint))))
  if (candidates.length > 0) lines.push(topic('rules', 'in the order in which they are preferred: + won, - does not fit, ~ fits but ranks lower'), ...candidates.flatMap((each) => candidateLines(each, paint)))
  if (rule !== undefined) {
    lines.push(...listTopic('filters', rule.filters), ...listTopic('changes', rule.changes))
    if (rule.timeouts !== undefined) lines.push(topic('timeouts', rule.timeouts))
    if (rule.retry !== undefined) lines.push(topic('retry', rule.retry))
    if (rule.persistence !== undefined) lines.push(topic('session', rule.persistence))
  }
  if (backends.length > 0) lines.push(...listTopic('backends', backends.flatMap((each) => backendLines(each, paint))))
  lines.push(...answerLines(answer, backends, paint))
  return lines.map((line) => `${line}\n`).join('')
}

function podLines({ name, node, captured, because }: ExplainedCaller, paint: Paint): readonly string[] {
  return [topic('from', `pod ${name}${node === undefined ? '' : ` on node ${node}`}, ${captured ? paint('green', 'captured') : paint('yellow', 'not captured')}`), topic('', because)]
}

function wayWords(way: NonNullable<Explanation['way']>, { waypoint, backends }: Explanation): string {
  switch (way) {
    case 'own waypoint':
      return `to the waypoint of its own namespace, by mTLS with ${waypoint?.identity ?? ''}`
    case 'waypoint of the Service':
      return `to the waypoint of the Service, by mTLS with ${waypoint?.identity ?? ''}`
    case 'straight': {
      const kinds = new Set(backends.flatMap(({ endpoints }) => endpoints.map(({ transport }) => transport.kind)))
      return `straight to the endpoint, ${kinds.size > 1 ? 'by mTLS where it is captured, else in plain' : kinds.has('hbone') ? 'by mTLS' : 'in plain: it is not captured'}`
    }
    case 'outside':
      return 'out of the mesh, in plain'
    case 'past the mesh':
      return 'past the mesh, in plain'
    case 'nowhere':
      return 'nowhere: its node\'s agent resets the connection'
  }
}

function policyLine({ policy, action, by, says, rule, decides }: ExplainedPolicy, paint: Paint): string {
  const line = `${action} ${policy}${rule === undefined ? '' : ` rule ${rule}`}: ${says} (${by})`
  return decides ? paint(action === 'deny' ? 'red' : 'green', line) : line
}

function topic(name: string, text: string): string {
  return `${name.padEnd(10)} ${text}`.trimEnd()
}

/** The name stands before the first line only. */
function listTopic(name: string, texts: readonly string[]): readonly string[] {
  return texts.map((text, at) => topic(at === 0 ? name : '', text))
}

function destinationWords({ service, pod, port, speaks }: NonNullable<Explanation['destination']>): string {
  return `${service === undefined ? `pod ${pod ?? ''}` : `Service ${service}`} port ${port}${speaks === undefined ? '' : `, read as ${speaks}`}`
}

function candidateLines({ route, rule, match, verdict, why }: ExplainedCandidate, paint: Paint): readonly string[] {
  const line = `  ${marks[verdict]} ${route} rule ${rule}: ${match}`
  return [verdict === 'won' ? paint('green', line) : line, paint('dim', `      ${verdict}: ${why}`)]
}

function backendLines({ target, sharePercent, filters, changes, endpoints, answer }: ExplainedBackend, paint: Paint): readonly string[] {
  return [
    `${`${sharePercent} %`.padStart(7)}  ${target}`,
    ...[...filters, ...changes].map((each) => `         ${each}`),
    ...endpoints.map((each) => `         ${endpointWords(each)}`),
    ...(answer === undefined ? [] : [`         ${paint('red', statusWords(answer))}`]),
  ]
}

function answerLines(answer: ExplainedAnswer | undefined, backends: readonly ExplainedBackend[], paint: Paint): readonly string[] {
  if (answer === undefined) {
    const some = backends.some(({ weight, answer: own }) => weight > 0 && own !== undefined)
    return [topic('answer', `the backend's${some ? ', but for the shares marked above' : ''}`)]
  }
  const { headers = {}, message, advice, reason } = answer
  return [
    topic('answer', paint(reason === undefined ? 'green' : 'red', statusWords(answer))),
    topic('', message),
    ...Object.entries(headers).map(([name, value]) => topic('', `${name}: ${value}`)),
    ...(advice === '' ? [] : [topic('advice', advice)]),
  ]
}

function statusWords({ status, grpcStatus, reason }: ExplainedAnswer): string {
  const code = reason === undefined ? '' : ` ${reason}`
  if (status === undefined) return `the connection is cut:${code}`
  return grpcStatus === undefined ? `${status}${code}` : `gRPC status ${grpcStatus}${code}`
}
