import assert from 'node:assert/strict'
import { isChosen, parseSuiteArgs, UsageError } from './args.ts'

describe('the suite\'s options', () => {
  it('have defaults that work with Docker and kind as they come', () => {
    assert.deepEqual(parseSuiteArgs([]), {
      cluster: 'waymark-e2e', nodeImage: undefined, kubeProxy: undefined, agentWorkers: 1, imageBase: 'node:24-bookworm-slim', keep: false, reuse: false, only: [], parallel: 4, timeLimit: 2700, help: false,
    })
  })
  it('keep what is reused', () => {
    const { keep, reuse } = parseSuiteArgs(['--reuse'])
    assert.ok(keep && reuse)
  })
  it('take a mode of kube-proxy', () => {
    assert.equal(parseSuiteArgs(['--kube-proxy', 'nftables']).kubeProxy, 'nftables')
  })
  it('take a number of threads for agents', () => {
    assert.equal(parseSuiteArgs(['--agent-workers', '3']).agentWorkers, 3)
  })
  it('name what is wrong', () => {
    for (const [args, what] of [
      [['--parallel', '0'], /--parallel 0/],
      [['--parallel', 'many'], /--parallel many/],
      [['--agent-workers', '0'], /--agent-workers 0: a whole number from 1 on/],
      [['--cluster', 'A B'], /--cluster A B/],
      [['--kube-proxy', 'ipvs'], /--kube-proxy ipvs: iptables or nftables/],
      [['--nonsense'], /nonsense/],
      [['stray'], /stray/],
    ] as const) {
      assert.throws(() => parseSuiteArgs(args), (error: unknown) => error instanceof UsageError && what.test(error.message))
    }
  })
  it('choose cases by name, group or feature', () => {
    const one = { name: 'a canary', features: ['HTTPRoute', 'weights'], group: 'traffic' }
    assert.ok(isChosen(one, []))
    assert.ok(isChosen(one, ['Canary']))
    assert.ok(isChosen(one, ['nothing', 'httproute']))
    assert.ok(isChosen(one, ['traffic']))
    assert.ok(!isChosen(one, ['grpc']))
  })
})
