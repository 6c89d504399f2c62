import type { Networks } from '../network.ts'
import { openPodNetwork } from './pod-network.ts'
import { originalDestination } from './sockets.ts'

/** Pods' namespaces of this node. */
export const networks: Networks = { open: ({ path, mark }) => openPodNetwork(path, { mark }), originalDestination }
