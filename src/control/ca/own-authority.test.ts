import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { authorityConstraints, endEntityConstraints, extension, keyUsage } from '../../../ca/certificate.ts'
import { sequence, time, toPem } from '../../../ca/der.ts'
import { CaError } from '../../../ca/errors.ts'
import { craftAuthority, newKey, type Party } from '../../../ca/testing/craft.ts'
import type { KubeObject } from '../../kube/object.ts'
import { install } from '../../model/install.ts'
import { caNames } from './names.ts'
import { ownAuthority } from './own-authority.ts'
import { accepted, hour, issueTo, namespace, startCluster, startMs, trustDomain, until, type Controller, type TestCluster } from './testing/cluster.ts'

const day = 24 * hour
/** Certificates that are valid for a year. */
const notAfter = time(startMs + 365 * day)
const fixture = { nowMs: startMs }
const pem = (...list: readonly Party[]): string => list.map(({ der }) => toPem('CERTIFICATE', der)).join('')
const pkcs8 = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString()
const root = (name = 'company root', craft = {}): Party => craftAuthority(fixture, name, { notAfter, ...craft })
const below = (issuer: Party, name = 'mesh CA', craft = {}): Party => craftAuthority(fixture, name, { issuer, notAfter, ...craft })

interface Parts {
  readonly type?: string
  readonly crt?: string | undefined
  readonly key?: string | undefined
  readonly ca?: string | undefined
}

/** A Secret as cert-manager makes it for an authority below `above`, the root last. */
function secretOf(own: Party, above: readonly Party[] = [], parts: Parts = {}): KubeObject {
  const top = above.at(-1) ?? own
  const data: Readonly<Record<string, string | undefined>> = { 'tls.crt': pem(own, ...above.slice(0, -1)), 'tls.key': pkcs8(own.key), 'ca.crt': pem(top), ...named(parts) }
  return {
    apiVersion: 'v1', kind: 'Secret', metadata: { name: 'own-ca', namespace }, type: parts.type ?? 'kubernetes.io/tls',
    data: Object.fromEntries(Object.entries(data).flatMap(([key, value]) => (value === undefined ? [] : [[key, Buffer.from(value).toString('base64')]]))),
  }
}

function named(parts: Parts): Readonly<Record<string, string | undefined>> {
  const names = { crt: 'tls.crt', key: 'tls.key', ca: 'ca.crt' } as const
  return Object.fromEntries((Object.keys(names) as (keyof typeof names)[]).filter((from) => from in parts).map((from) => [names[from], parts[from]]))
}

const judge = (secret: KubeObject | undefined): ReturnType<typeof ownAuthority> => ownAuthority(secret, 'Secret waymark-system/own-ca', { trustDomain, nowMs: startMs })

describe('ownAuthority', () => {
  const top = root()
  const upper = below(top, 'upper')
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  const rsaRoot = root('RSA', { key: rsa })
  const good: Record<string, KubeObject> = {
    'a root': secretOf(top),
    'a root without ca.crt': secretOf(top, [], { ca: undefined }),
    'an intermediate': secretOf(below(top), [top]),
    'an intermediate below another': secretOf(below(upper), [upper, top]),
    'an intermediate whose chain ends with the root': secretOf(upper, [top], { crt: pem(upper, top) }),
    'that without ca.crt': secretOf(upper, [top], { crt: pem(upper, top), ca: undefined }),
    'P-384': secretOf(root('P-384', { key: newKey('secp384r1') })),
    'RSA with a key in PKCS #1': secretOf(rsaRoot, [], { key: rsa.export({ type: 'pkcs1', format: 'pem' }).toString() }),
    'an EC key in SEC1': secretOf(top, [], { key: top.key.export({ type: 'sec1', format: 'pem' }).toString() }),
  }
  for (const [name, secret] of Object.entries(good)) {
    it(`takes ${name}`, () => {
      const read = judge(secret)
      assert.deepEqual(read.kind === 'bad' ? read.problem : '', '')
    })
  }

  const closed = root('no CA below', { extensions: { constraints: authorityConstraints(0) } })
  const bad: Record<string, readonly [KubeObject | undefined, RegExp]> = {
    'a Secret that is not there': [undefined, /own-ca: it does not exist: create it/],
    'another type': [secretOf(top, [], { type: 'Opaque' }), /type: must be kubernetes.io\/tls, and is "Opaque"/],
    'no certificate': [secretOf(top, [], { crt: undefined }), /tls.crt: it is missing/],
    'no key': [secretOf(top, [], { key: undefined }), /tls.key: it is missing/],
    'an intermediate without its root': [secretOf(upper, [top], { ca: undefined }), /ca.crt: it is missing/],
    'another intermediate as the root': [secretOf(below(upper), [upper, top], { crt: pem(below(upper)), ca: pem(upper) }), /ca.crt: must be the self-signed root/],
    'two roots': [secretOf(top, [], { ca: pem(top, root()) }), /ca.crt: must hold exactly one/],
    'a certificate that is cut off': [secretOf(top, [], { crt: pem(top).slice(0, 200) }), /tls.crt: not a list of PEM certificates/],
    'a key of another certificate': [secretOf(top, [], { key: pkcs8(newKey()) }), /tls.key: it does not belong/],
    'a key with a password': [secretOf(top, [], { key: top.key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }).toString() }), /tls.key: .*without a password/],
    'a certificate without CA flag': [secretOf(below(top, 'leaf', { extensions: { constraints: endEntityConstraints() } }), [top]), /tls.crt: .*not a CA certificate/],
    'a certificate that may not sign': [secretOf(below(top, 'leaf', { extensions: { keyUsage: keyUsage('digitalSignature') } }), [top]), /tls.crt: .*may sign others/],
    'an expired root': [secretOf(root('old', { notAfter: time(startMs - 1000) })), /ca.crt: expired/],
    'an expired intermediate': [secretOf(below(top, 'old', { notAfter: time(startMs - 1000) }), [top]), /tls.crt: expired/],
    'one of the future': [secretOf(below(top, 'new', { notBefore: time(startMs + day) }), [top]), /tls.crt: valid from/],
    'a root that allows no CA below': [secretOf(below(closed), [closed]), /tls.crt: peers would refuse.*allows 0 intermediates/],
    'a chain of another root': [secretOf(upper, [top], { ca: pem(root()) }), /tls.crt: .*was not issued by/],
    'RSA of 1024 bits': [secretOf(root('weak', { key: generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey })), /tls.crt: .*neither P-256/],
    'Ed25519': [secretOf(top, [], { key: pkcs8(generateKeyPairSync('ed25519').privateKey) }), /tls.key: it does not belong/],
    'name constraints': [secretOf(below(top, 'constrained', { extensions: { more: extension('2.5.29.30', false, sequence()) } }), [top]), /tls.crt: peers would refuse.*name constraints/],
    'a signature with SHA-1': [secretOf(below(top, 'old', { signWith: 'ecdsaSha1' }), [top]), /tls.crt: peers would refuse.*signature algorithm/],
  }
  for (const [name, [secret, problem]] of Object.entries(bad)) {
    it(`refuses ${name}, and names the field`, () => {
      const read = judge(secret)
      assert.match(read.kind === 'bad' ? read.problem : 'nothing', problem)
      if (secret !== undefined) for (const line of Buffer.from((secret['data'] as Record<string, string>)['tls.key'] ?? '', 'base64').toString().split('\n').slice(1, -2)) assert.ok(!JSON.stringify(read).includes(line))
    })
  }
})

describe('openClusterCa with a Secret of the user\'s', () => {
  let cluster: TestCluster
  const top = root()
  const issuesUnder = async ({ ca }: Controller, trusted: Party): Promise<boolean> => accepted(await issueTo(ca), [pem(trusted)], cluster.clock.now())
  const open = async (): Promise<Controller> => {
    const one = await cluster.open({ ownSecret: 'own-ca' })
    one.ca.setActive(true)
    await one.ca.idle()
    await until(() => cluster.server.watches.count() === 2, 'watches')
    return one
  }
  beforeEach(async () => {
    cluster = await startCluster()
  })
  afterEach(() => cluster.close())

  for (const [name, secret] of Object.entries({ 'a root': secretOf(top), 'an intermediate': secretOf(below(top), [top]) })) {
    it(`begins with ${name} of it, and issues what holders of that root accept`, async () => {
      cluster.server.put(secret)
      const one = await open()
      assert.ok(await issuesUnder(one, top))
      assert.equal(one.ca.info().ownSecret, 'own-ca')
      assert.deepEqual(one.ca.problems(), [])
    })
  }

  it('does not begin with a root of its own where the Secret is missing or wrong', async () => {
    const refused = (error: unknown): boolean => error instanceof CaError && error.code === 'bad-authority' && error.message.includes('own-ca')
    await assert.rejects(open(), refused)
    cluster.server.put(secretOf(top, [], { key: pkcs8(newKey()) }))
    await assert.rejects(open(), refused)
    assert.equal(cluster.server.get({ kind: 'Secret', namespace, name: install.caSecret }), undefined)
  })

  it('goes on with the present CA while the Secret is wrong, and says which field', async () => {
    cluster.server.put(secretOf(top))
    const one = await open()
    cluster.server.put(secretOf(root('next'), [], { key: pkcs8(newKey()) }))
    await until(() => one.ca.problems().length > 0, 'the problem')
    assert.match(one.ca.problems().join(), /own-ca: tls.key: .*the present CA goes on/)
    assert.ok(await issuesUnder(one, top))
    cluster.server.put(secretOf(top))
    await until(() => one.ca.problems().length === 0, 'the end of the problem')
  })

  it('rotates in stages to another root by itself', async () => {
    cluster.server.put(secretOf(top))
    const one = await open()
    const next = root('next root')
    cluster.server.put(secretOf(below(next), [next]))
    await until(() => one.ca.rotation().phase === 'introduced', 'the rotation')
    assert.ok(await issuesUnder(one, top))
    await cluster.turnUntil(120_000, () => one.ca.rotation().phase === 'signing')
    assert.ok(await issuesUnder(one, next))
    await cluster.turnUntil(120_000, () => one.ca.rotation().phase === 'steady')
    assert.deepEqual(one.ca.bundle(), [pem(next)])
  })

  it('rotates away from a root of its own where the Secret is named later', async () => {
    const first = await cluster.open()
    first.ca.close()
    cluster.server.put(secretOf(top))
    const one = await open()
    await until(() => one.ca.rotation().phase === 'introduced', 'the rotation')
    assert.deepEqual(one.ca.bundle(), [...first.ca.bundle(), pem(top)])
  })

  it('ends the rotation that is under way before it goes on to a root that came meanwhile', async () => {
    cluster.server.put(secretOf(top))
    const one = await open()
    const [second, third] = [root('second'), root('third')]
    cluster.server.put(secretOf(second))
    await until(() => one.ca.rotation().phase === 'introduced', 'the rotation')
    cluster.server.put(secretOf(third))
    const seen = new Set<string>()
    one.ca.onChange(() => seen.add(`${one.ca.rotation().generation} ${one.ca.rotation().phase} ${one.ca.bundle().length}`))
    await cluster.turnUntil(120_000, () => one.ca.rotation().generation === 2)
    assert.deepEqual([...seen], ['0 signing 2', '1 steady 1', '1 introduced 2', '1 signing 2', '2 steady 1'])
    assert.deepEqual(one.ca.bundle(), [pem(third)])
  })

  it('takes a renewed intermediate of the same root at once, in both controllers', async () => {
    cluster.server.put(secretOf(below(top), [top]))
    const one = await open()
    const two = await cluster.open({ ownSecret: 'own-ca' })
    const renewed = below(top, 'mesh CA')
    cluster.server.put(secretOf(renewed, [top]))
    for (const each of [one, two]) {
      let chain = ''
      await until(() => {
        void issueTo(each.ca).then((issued) => (chain = issued.certificateChainPem))
        return chain.includes(pem(renewed))
      }, 'the renewed one')
      assert.ok(await issuesUnder(each, top))
      assert.equal(each.ca.rotation().phase, 'steady')
    }
    assert.deepEqual(one.events.map(({ reason }) => reason), ['AuthorityRenewed'])
  })

  it('does not rotate on request while the Secret holds the present root, and says what to do', async () => {
    cluster.server.put(secretOf(top))
    const one = await open()
    await cluster.annotate({ [caNames.rotateTo]: '1' })
    await until(() => one.ca.problems().length > 0, 'the problem')
    assert.match(one.ca.problems().join(), /own-ca holds no other root: put the next CA there/)
    assert.equal(one.ca.rotation().phase, 'steady')
  })

  it('follows the other controller and issues while the Secret may not be read, and says so once', async () => {
    cluster.server.put(secretOf(top))
    const one = await open()
    const two = await cluster.open({ ownSecret: 'own-ca' })
    await two.ca.idle()
    const stop = cluster.server.forbid(({ verb, name }) => verb === 'get' && name === 'own-ca')
    await cluster.annotate({ other: 'x' })
    await until(() => two.ca.problems().length > 0, 'the problem')
    assert.match(two.ca.problems().join(), /forbidden.*tried again/)
    for (let turns = 0; turns < 5; turns++) {
      cluster.clock.advance(60_000)
      await two.ca.idle()
    }
    assert.equal(two.lines.filter((line) => line.includes('forbidden')).length, 1)
    cluster.edit((state) => ({ ...state, rotation: { ...state.rotation, generation: 3 } }))
    await cluster.turnUntil(1000, () => two.ca.rotation().generation === 3)
    assert.ok(await issuesUnder(two, top))
    stop()
    await cluster.turnUntil(1000, () => [one, two].every(({ ca }) => ca.problems().length === 0))
  })
})
