/** The heading of the section about the node agent in RESULTS.md. */
export const agentHeading = '## The node agent'
