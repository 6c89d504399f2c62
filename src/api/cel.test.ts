import assert from 'node:assert/strict'
import { gatewaySchemas } from '../../crds/load.ts'
import { checkRules, compileRule, isTransition } from './cel.ts'
import type { CelRule, Schema } from './schema.ts'

/** Every schema below `schema`, itself included. */
function* below(schema: Schema): Generator<Schema> {
  yield schema
  const maps = [...Object.values(schema.properties ?? {})]
  const lists = [...(schema.oneOf ?? []), ...(schema.anyOf ?? []), ...(schema.allOf ?? [])]
  const single = [schema.items, schema.additionalProperties, schema.not].filter((each) => each !== undefined)
  for (const each of [...maps, ...lists, ...single]) yield* below(each)
}

const rulesOf = (channel: 'standard' | 'experimental'): CelRule[] =>
  Object.values(gatewaySchemas(channel))
    .flatMap((versions) => Object.values(versions))
    .flatMap((schema) => [...below(schema)])
    .flatMap((schema) => schema['x-kubernetes-validations'] ?? [])

describe('CEL rules', () => {
  for (const channel of ['standard', 'experimental'] as const) {
    it(`of the ${channel} channel all compile to something that answers true or false`, () => {
      const rules = rulesOf(channel).filter((rule) => !isTransition(rule))
      assert.ok(rules.length > 200, `${rules.length} rules`)
      for (const { rule } of rules) assert.doesNotThrow(() => compileRule(rule), rule)
    })
  }

  it('escape no names but those that are unescaped', () => {
    for (const { rule } of rulesOf('experimental')) assert.doesNotMatch(rule.replaceAll('__namespace__', ''), /__/, rule)
  })

  it('that compare with the former object do not apply to files', () => {
    const schema: Schema = { type: 'string', 'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'is immutable' }] }
    assert.deepEqual(checkRules(schema, 'x'), [])
  })

  it('that can not be evaluated refuse the object, as they do in a cluster', () => {
    const schema: Schema = { type: 'object', 'x-kubernetes-validations': [{ rule: 'self.absent.size() > 0', message: 'needs absent' }] }
    const [problem] = checkRules(schema, {})
    assert.match(problem?.message ?? '', /^needs absent \(No such key/)
  })

  const table: [rule: string, self: unknown, expected: boolean][] = [
    ['self.matches(r"""^(?i)abc$""")', 'ABC', true],
    ['self.matches("b")', 'abc', true],
    ['isIP(self)', '::1', true],
    ['isIP(self)', 'example.com', false],
    ['has(self.__namespace__)', { namespace: 'x' }, true],
    ['has(self.__namespace__)', {}, false],
    ['has(self[0].a)', [{ a: 0 }], true],
    ['has(self[0].a)', [{}], false],
    ['has(self.x[0].y.z)', { x: [{ y: { z: '' } }] }, true],
    ['has(self.constructor)', {}, false],
    ['self.all(k, k.size() < 3)', { ab: 1, abc: 2 }, false],
    ['self.port == 80 && self.port <= 80', { port: 80 }, true],
    ["duration(self) > duration('1h59m')", '2h', true],
  ]
  for (const [rule, self, expected] of table) {
    it(`${rule} is ${expected} of ${JSON.stringify(self)}`, () => assert.equal(compileRule(rule)(self), expected))
  }

  it('match with a linear-time engine', () => {
    const started = performance.now()
    assert.equal(compileRule('self.matches("^(a+)+$")')(`${'a'.repeat(5000)}!`), false)
    assert.ok(performance.now() - started < 5000)
  })
})
