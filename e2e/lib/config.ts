/** What the programs that the suite starts see of its own environment: all of it. */
export const environment: NodeJS.ProcessEnv = process.env
