import { hostname } from 'node:os'
import { startEntry, type Entry } from '../connect/entry.ts'
import { listening } from '../control/listening.ts'
import { systemClock } from '../kit/clock.ts'
import { sameIdentity, formatSpiffeId, type Identity } from '../model/identity.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { joinMesh } from '../publish/join.ts'
import { claimsOfToken, readToken, type TokenClaims } from '../publish/token.ts'
import type { ConnectContext, RunningEntry } from './connect-entry.ts'
import { controllerIdOf, type MemberOptions } from './member.ts'

/**
 * Who this pod is.
 * @param asked the identity that was given on the command line; it must be the token's, for a certificate for another would be refused
 * @throws if there is no token of a service account, or it is another's
 */
export async function ownClaims({ tokenFile, trustDomain }: MemberOptions, asked: Identity | undefined): Promise<TokenClaims> {
  const claims = claimsOfToken(await readToken(tokenFile), trustDomain)
  if (asked !== undefined && !sameIdentity(claims.identity, asked)) {
    throw new Error(`--as names ${formatSpiffeId(asked)}, and the token is that of ${formatSpiffeId(claims.identity)}; leave --as out, or run the pod as that service account`)
  }
  return claims
}

/**
 * Enters the mesh of a cluster from one of its pods.
 * @throws the listen error, or the reason of `signal`
 */
export async function connectByNetwork(options: MemberOptions, { identity, pod }: TokenClaims, context: ConnectContext): Promise<RunningEntry> {
  const { host, port, signal, say } = context
  let entry: Entry | undefined
  let snapshot: Snapshot | undefined
  const member = await joinMesh({
    controller: options.controller, controllerId: controllerIdOf(options), tokenFile: options.tokenFile, bundleFile: options.bundleFile,
    stateDirectory: options.state, identity, subscriber: { kind: 'entry', namespace: identity.namespace }, pod: pod ?? hostname(),
    clock: systemClock, signal,
    onSnapshot: (next) => {
      snapshot = next
      entry?.configure(next)
    },
    onTrouble: (message) => say(`${message}; trying again${entry === undefined ? '' : ', what is here serves on'}`),
  })
  try {
    const started = await listening('the proxy', `port ${port}`, '--port', () => startEntry({ credentials: member.credentials, host, port, clock: systemClock }))
    entry = started
    if (snapshot !== undefined) started.configure(snapshot)
    if (member.source() === 'kept') say('no controller answers: serving from the configuration that was kept')
    return { entry: started, close: member.close }
  } catch (error) {
    await member.close()
    throw error
  }
}
