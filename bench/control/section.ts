/** The heading of the section about the control plane in RESULTS.md. */
export const controlHeading = '## The control plane of a large cluster'
