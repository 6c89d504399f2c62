import { messageOf } from '../src/kit/message.ts'
import { parseSuiteArgs, UsageError, type SuiteOptions } from './lib/args.ts'
import { bookstore, bookstoreTries } from './lib/bookstore.ts'
import { needTools, useCluster } from './lib/cluster.ts'
import { applyInForce } from './lib/place.ts'
import { provision } from './lib/provision.ts'
import { stopOnSignals } from './lib/stop.ts'
import { install } from '../src/model/install.ts'
import { inParallel, until } from './lib/wait.ts'

const usage = `usage: npm run dev:kind -- [options]
  --cluster NAME      name of the kind cluster; default waymark-dev; one that is there is used
  --node-image IMAGE  kind's node image; default: the one that kind brings
  --kube-proxy MODE   iptables or nftables, in a cluster that is made; default: as kind has it
  --image-base IMAGE  what the images are built from; default node:24-bookworm-slim
  --reuse             neither build nor install`

const say = (line: string): void => void process.stdout.write(`${line}\n`)

/** Leaves a cluster up with the mesh and the bookstore, and says what to try. @returns the exit code */
async function main(args: readonly string[]): Promise<number> {
  let options: SuiteOptions
  try {
    options = parseSuiteArgs(['--cluster', 'waymark-dev', '--keep', ...args])
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    say(`${error.message}\n${usage}`)
    return 2
  }
  if (options.help) {
    say(usage)
    return 0
  }
  const { cluster } = options
  const { signal, release } = stopOnSignals(options.timeLimit, say)
  try {
    await needTools(signal)
    const { kube, installation } = await provision({ ...options, signal, say })
    try {
      const objects = bookstore(installation.images)
      const namespaces = objects.filter(({ kind }) => kind === 'Namespace')
      await inParallel(namespaces, 4, async (object) => {
        await kube.apply(object)
      })
      await inParallel(namespaces, 4, async ({ metadata: { name } }) => {
        await until(`the trust bundle in ${name}`, () => kube.find('ConfigMap', name, install.bundleConfigMap), { signal })
      })
      await applyInForce(kube, objects.slice(namespaces.length), [], signal)
    } finally {
      kube.close()
    }
    // From here on the user's own kubectl is meant.
    await useCluster({ name: cluster, nodeImage: undefined, kubeconfig: undefined, signal })
  } catch (error) {
    say(messageOf(error))
    say(`what there is of it stays; to delete it: kind delete cluster --name ${cluster}`)
    return 1
  } finally {
    release()
  }
  say(`\nThe bookstore of examples/bookstore runs in cluster ${cluster}, and kubectl points to it. Try:\n`)
  for (const { title, command, expect } of bookstoreTries) say(`# ${title}\n${command}\n#   → ${expect}\n`)
  say(`To be rid of it: kind delete cluster --name ${cluster}`)
  return 0
}

process.exitCode = await main(process.argv.slice(2))
