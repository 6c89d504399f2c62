import { existsSync } from 'node:fs'
import { plainAddress } from '../traffic/addresses.ts'
import { NetworkError, type Networks } from '../network.ts'
import { loopbackPod } from './sockets.ts'

/** A pod on loopback as threads are told of it, in place of the path of its namespace. */
export interface LoopbackPlace {
  readonly address: string
  /** Where everything goes that it sends. */
  readonly going: { readonly host: string; readonly port: number }
  /** The port of its application, for what is redirected on its way in. */
  readonly application: number
  /** A file: while it is there, the pod can not be opened. */
  readonly lock?: string
}

const places = new Map<string, LoopbackPlace>()

/** Pods that are addresses of loopback, for threads of tests: see `Networks`. */
export const networks: Networks = {
  open: ({ path }) => {
    const place = JSON.parse(path) as LoopbackPlace
    if (place.lock !== undefined && existsSync(place.lock)) throw new NetworkError('ENOENT', `open ${place.address}`)
    places.set(place.address, place)
    return loopbackPod(false, place.address).network
  },
  originalDestination: ({ localAddress = '', localPort }) => {
    const place = places.get(plainAddress(localAddress))
    if (place === undefined || (localPort !== 15001 && localPort !== 15006)) return undefined
    return localPort === 15001 ? place.going : { host: place.address, port: place.application }
  },
}
