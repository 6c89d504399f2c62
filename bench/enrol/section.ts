/** The heading of the section about enrolment in RESULTS.md. */
export const enrolHeading = '## Enrolling the pods of a node'
