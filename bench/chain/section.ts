/** The heading of the section about the whole way in RESULTS.md. */
export const chainHeading = '## From pod to pod through both agents and a waypoint'
