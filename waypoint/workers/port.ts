import { createServer } from 'node:net'

/**
 * Finds out whether a port can be had. Threads share theirs, and would share it as well with a process that has it already and lets them:
 * then each would get a part of the other's connections.
 * @throws the error of `listen`
 */
export async function reservePort({ host, port }: { readonly host: string; readonly port: number }): Promise<void> {
  if (port === 0) return
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, exclusive: true }, resolve)
  })
  await new Promise<void>((resolve) => server.close(() => resolve()))
}
