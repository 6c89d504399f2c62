import { caErrors } from '../../ca/errors.ts'
import { reasons, type Reason } from '../../src/model/reasons.ts'
import { svidRefusals } from '../../src/transport/svid.ts'

/** The page of everything that the mesh refuses: `docs/errors.md`. */
export function errorsPage(): string {
  return [
    '# Errors and their codes',
    '',
    'Every refusal has a stable code. The answers of the proxy carry theirs in the header `x-waypoint-reason`, in the access log, in metrics and in traces.',
    '`waymark explain` says beforehand which one a request would get.',
    '',
    '## Answers that the proxy makes itself',
    '',
    'To gRPC callers the answer is HTTP 200 with the gRPC status. Connections of TCPRoutes and TLSRoutes are cut, for they have no answers. HTTP 0: the connection ends without an answer.',
    '',
    table(
      ['Code', 'HTTP', 'gRPC', 'Closes the connection', 'Meaning', 'What to do'],
      Object.entries<Reason>(reasons).map(([code, { status, grpcStatus, close, message, advice }]) => [
        `\`${code}\``, String(status), `${grpcStatus} ${grpcNames[grpcStatus] ?? ''}`.trim(), close ? 'yes' : 'no', message, advice,
      ]),
    ),
    '',
    '## Certificates of peers that are refused',
    '',
    'A peer of a mesh connection must show an SVID that passes every one of these checks, after TLS has done its own.',
    '',
    table(['Code', 'What to do'], Object.entries(svidRefusals).map(([code, advice]) => [`\`${code}\``, advice])),
    '',
    '## Errors of the CA',
    '',
    table(['Code', 'What to do'], Object.entries(caErrors).map(([code, advice]) => [`\`${code}\``, advice])),
    '',
  ].join('\n')
}

/** Source: grpc/doc/statuscodes.md. */
const grpcNames: readonly string[] = [
  'OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS', 'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED',
]

/** A Markdown table. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`
  return [line(head), `|${head.map(() => '---|').join('')}`, ...rows.map(line)].join('\n')
}

/** Text that stays in its cell, and that no renderer takes for HTML outside of code. */
function cell(text: string): string {
  const escaped = text.replaceAll('|', '\\|').replaceAll(/\s*\n\s*/g, ' ')
  return escaped.split(/(`[^`]*`)/).map((part) => (part.startsWith('`') ? part : part.replaceAll('<', '&lt;'))).join('')
}
