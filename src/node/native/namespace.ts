import { closeSync, fstatSync, openSync } from 'node:fs'
import { NetworkError } from '../network.ts'
import { libc } from './libc.ts'

/** A network namespace, held open: it does not end while this is not closed, not even with its last process. */
export interface Namespace {
  /** Tells namespaces apart, also those that were opened by different paths. */
  readonly inode: number
  /**
   * Runs `work` on this thread inside the namespace, and comes back. `work` must be synchronous: whatever waited would go on with the whole process in
   * the pod. Sockets, processes and files of /proc/sys/net that are made in it belong to the namespace.
   * @throws NetworkError if the namespace can not be entered (EPERM: CAP_SYS_ADMIN is missing); what `work` throws
   */
  readonly run: <T>(work: () => Synchronous<T>) => T
  /** May be called again. `run` fails from then on. */
  readonly close: () => void
}

/** Keeps promises out; what hides one is found when it runs. */
export type Synchronous<T> = T extends PromiseLike<unknown> ? never : T

// Of this thread: workers load this module each for themselves, and namespaces belong to threads.
let home: { readonly fd: number; readonly inode: number } | undefined
let inside = false

/** Opens the namespace at `path`, for example `/run/netns/cni-…`. @throws NetworkError: ENOENT; EINVAL if it is no namespace, or is the node's own */
export function openNamespace(path: string): Namespace {
  const own = ownNamespace()
  const fd = openFile(path)
  let open = true
  try {
    const { ino: inode } = fstatSync(fd)
    if (inode === own.inode) throw new NetworkError('EINVAL', `open ${path}`, 'it is the node\'s own network namespace, as of a pod with hostNetwork')
    const namespace: Namespace = {
      inode,
      run: (work) => {
        if (!open) throw new NetworkError('EBADF', `setns ${path}`, 'the namespace was closed')
        return runIn(fd, own.fd, work)
      },
      close: () => {
        if (open) closeSync(fd)
        open = false
      },
    }
    // Nothing but a network namespace can be entered.
    namespace.run(() => undefined)
    return namespace
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function ownNamespace(): { readonly fd: number; readonly inode: number } {
  if (home === undefined) {
    // Not /proc/self: that is the main thread's.
    const fd = openFile('/proc/thread-self/ns/net')
    home = { fd, inode: fstatSync(fd).ino }
  }
  return home
}

/** By Node, not by libc: it closes what a thread has opened when that ends, and a namespace that is held open outlives its pod. */
function openFile(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (error) {
    throw new NetworkError((error as NodeJS.ErrnoException).code ?? 'EIO', `open ${path}`)
  }
}

function runIn<T>(fd: number, back: number, work: () => Synchronous<T>): T {
  // The inner return would leave the rest of the outer work on the node.
  if (inside) throw new Error('already inside a network namespace')
  libc.setNetworkNamespace(fd)
  inside = true
  try {
    const made = work() as T
    if (made instanceof Promise || (typeof made === 'object' && made !== null && 'then' in made)) throw new Error('what runs in a network namespace must be synchronous')
    return made
  } finally {
    comeBack(back)
  }
}

/** Or end the process: going on in a pod's namespace would send the agent's traffic from there, unnoticed. */
function comeBack(back: number): void {
  try {
    libc.setNetworkNamespace(back)
    inside = false
  } catch {
    process.abort()
  }
}
