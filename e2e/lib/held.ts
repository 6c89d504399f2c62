import type { Context, Role } from './case.ts'
import { end } from './command.ts'

/** A TCP connection that is kept open. */
export interface Held {
  /** Resolves when the server has said something. */
  readonly greeted: Promise<string>
  readonly isOpen: () => boolean
  readonly close: () => void
}

/** Opens a connection from a pod's driver container, and keeps it. @param target `host:port` of a server that speaks first */
export function holdOpen({ kube, namespace }: Pick<Context, 'kube' | 'namespace'>, role: Role, pod: string, target: string): Held {
  const colon = target.lastIndexOf(':')
  const script = `exec 3<>/dev/tcp/${target.slice(0, colon)}/${target.slice(colon + 1)} && cat <&3; echo over`
  const child = kube.start(['exec', '-n', namespace(role), pod, '-c', 'driver', '--', 'bash', '-c', script])
  let open = true
  const greeting = Promise.withResolvers<string>()
  child.stdout?.setEncoding('utf8').on('data', (said: string) => {
    if (/^over$/m.test(said)) open = false
    greeting.resolve(said)
  })
  child.once('close', () => {
    open = false
    greeting.resolve('')
  })
  return { greeted: greeting.promise, isOpen: () => open, close: () => end(child) }
}
