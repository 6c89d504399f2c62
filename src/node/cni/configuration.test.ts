import assert from 'node:assert/strict'
import fc from 'fast-check'
import { chain, chosenConfiguration, ConfigurationError, isChained, unchain } from './configuration.ts'

const kindnet = `
{
	"cniVersion": "0.3.1",
	"name": "kindnet",
	"plugins": [
	{
		"type": "ptp",
		"ipam": { "type": "host-local", "ranges": [ [ { "subnet": "10.244.1.0/24" } ] ] }
	},
	{
		"type": "portmap",
		"capabilities": {
			"portMappings": true
		}
	}
	]
}
`
const compact = '{"plugins":[{"type":"a","odd":"]}\\"plugins\\":[{"}],"name":"x","cniVersion":"1.0.0"}'

describe('a configuration of CNI', () => {
  it('is extended in its own form, and comes back to the byte', () => {
    assert.equal(
      chain(kindnet),
      kindnet.replace('\t\t}\n\t}\n\t]', '\t\t}\n\t},\n    {"type": "waymark-cni"}\n\t]'),
    )
    assert.equal(chain(compact), compact.replace('"}],', '"},\n    {"type": "waymark-cni"}],'))
    for (const text of [kindnet, compact]) assert.equal(unchain(chain(text)), text)
  })

  it('is extended once, and is left alone by who finds nothing to take out', () => {
    assert.equal(chain(chain(kindnet)), chain(kindnet))
    assert.equal(unchain(kindnet), kindnet)
    assert.deepEqual([kindnet, chain(kindnet)].map(isChained), [false, true])
  })

  it('has the entry at its end, also if others came after it', () => {
    const later = chain(compact).replace('{"type": "waymark-cni"}', '{"type": "waymark-cni"},{"type":"later"}')
    assert.equal(isChained(later), false)
    assert.deepEqual((JSON.parse(chain(later)) as { plugins: { type: string }[] }).plugins.map((each) => each.type), ['a', 'later', 'waymark-cni'])
  })

  it('loses the entry also if somebody has written it in another form', () => {
    const rewritten = JSON.stringify(JSON.parse(chain(kindnet)))
    assert.deepEqual(JSON.parse(unchain(rewritten)), JSON.parse(kindnet))
  })

  it('is refused if it is no list', () => {
    for (const text of ['', '{', '[]', 'null', '{"type":"ptp"}', '{"plugins":[]}', '{"plugins":{}}']) assert.throws(() => chain(text), ConfigurationError)
  })

  it('means the same with the entry, whatever it holds', () => {
    const plugin = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }))
    fc.assert(
      fc.property(fc.array(plugin, { minLength: 1, maxLength: 4 }), fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 })), fc.boolean(), fc.nat(3), (plugins, others, first, indent) => {
        const whole = first ? { plugins, ...others, plugins_: 1 } : { ...others, plugins }
        const text = JSON.stringify({ ...whole, plugins }, undefined, indent)
        const changed = JSON.parse(chain(text)) as unknown
        assert.deepEqual(changed, { ...(JSON.parse(text) as object), plugins: [...(JSON.parse(text) as { plugins: unknown[] }).plugins, { type: 'waymark-cni' }] })
        assert.equal(unchain(chain(text)), text)
      }),
    )
  })

  it('is the first of its folder by name', () => {
    assert.equal(chosenConfiguration(['99-a.conflist', '10-b.conflist', '05-c.conflist.bak', '.d', '00-e.txt', '07-f.conf']), '07-f.conf')
    assert.equal(chosenConfiguration(['README']), undefined)
  })
})
