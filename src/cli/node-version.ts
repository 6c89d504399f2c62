/** The first Node whose `node:http2` keeps a reset stream from looking complete in all that the data plane does. */
const leastMajor = 24

/**
 * Why the data plane must not run on this Node; undefined if it may. The verbs that carry no traffic run on older ones too.
 * @param version as `process.versions.node`
 */
export function nodeProblem(version: string): string | undefined {
  const major = Number(version.split('.')[0])
  if (major >= leastMajor) return undefined
  return `Node ${version} can show a cut answer as a whole one, so no traffic is carried on it; use Node ${leastMajor} or later, which \`npm run waymark\` brings along`
}
