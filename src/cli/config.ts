/** Whether colours may be used on a stream: only on a terminal, and not where `NO_COLOR` is set. Source: no-color.org. */
export function wantsColour(stream: { readonly isTTY?: boolean }, environment: NodeJS.ProcessEnv = process.env): boolean {
  return stream.isTTY === true && (environment['NO_COLOR'] ?? '') === '' && environment['TERM'] !== 'dumb'
}
