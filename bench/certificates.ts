import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createCa } from '../ca/server.ts'
import { memoryStore } from '../ca/store.ts'
import { systemClock } from '../src/kit/clock.ts'
import type { CredentialSource, Credentials } from '../src/model/credentials.ts'
import { keepCredentials } from '../src/transport/credentials.ts'
import { namespace, waypointName } from './manifests.ts'

export const trustDomain = 'cluster.local'

/** The one cipher suite of every measurement. */
export const cipherSuite = 'TLS_AES_128_GCM_SHA256'

/** Both ends' P-256 SVIDs, and where servers that read files find the proxy's. */
export interface Certificates {
  readonly proxy: Credentials
  readonly client: Credentials
  readonly files: {
    readonly certificate: string
    readonly key: string
    /** Certificate and key in one file, as HAProxy wants them. */
    readonly both: string
    readonly roots: string
  }
}

/** Issues the certificates of a run with the project's own CA. @param directory private to this user */
export async function issueCertificates(directory: string): Promise<Certificates> {
  const ca = await createCa({ store: memoryStore(), trustDomain, clock: systemClock })
  const issue = async (serviceAccount: string): Promise<Credentials> => {
    const identity = { trustDomain, namespace, serviceAccount }
    const keeper = await keepCredentials({
      identity, clock: systemClock, fetch: (publicKeyPem) => ca.issue(identity, publicKeyPem), onError: (error) => { throw error },
    })
    keeper.close()
    return keeper.current()
  }
  const [proxy, client] = [await issue(waypointName), await issue('client')]
  const write = (name: string, text: string): string => {
    const path = join(directory, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  return {
    proxy, client,
    files: {
      certificate: write('proxy.crt', proxy.certificateChainPem),
      key: write('proxy.key', proxy.privateKeyPem),
      both: write('proxy.pem', proxy.certificateChainPem + proxy.privateKeyPem),
      roots: write('roots.crt', proxy.trustBundlePem.join('')),
    },
  }
}

/** Credentials that never change: a run is shorter than their life. */
export function fixed(credentials: Credentials): CredentialSource {
  return { identity: credentials.identity, current: () => credentials, onChange: () => () => {} }
}
