let lastQuery = ''
let lastParameters = new URLSearchParams()

/**
 * The first value of a query parameter, percent-decoded, with `+` as a space. Broken escapes stand for themselves.
 * One query is parsed once however many matches ask: the last one is remembered.
 * @param query with its `?`, or ''
 * @param name exact, decoded
 * @returns undefined if the parameter is absent
 * Source: HTTPQueryParamMatch; URL standard, application/x-www-form-urlencoded parsing.
 */
export function queryValue(query: string, name: string): string | undefined {
  if (query.length < 2) return undefined
  if (query !== lastQuery) {
    lastParameters = new URLSearchParams(query)
    lastQuery = query
  }
  return lastParameters.get(name) ?? undefined
}
