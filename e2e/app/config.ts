import { hostname } from 'node:os'

/** Who this process is, from the downward API. */
export const who = {
  pod: process.env['POD_NAME'] ?? hostname(),
  namespace: process.env['POD_NAMESPACE'] ?? '',
  version: process.env['VERSION'] ?? '',
} as const
