import { isMap, show, type FieldPath, type FieldProblem } from './field.ts'
import { propertySchema } from './defaults.ts'
import type { Schema } from './schema.ts'

const advice = 'install the experimental channel of Gateway API in that cluster, or do without'

/**
 * What a cluster with only the standard channel of Gateway API would make of an object that is good in the experimental one.
 * @param standard schema of the object's version in the standard channel; undefined if that channel does not serve it
 * @param value the object as it was written, without defaults
 */
export function checkChannel(standard: Schema | undefined, value: unknown): FieldProblem[] {
  if (standard === undefined) {
    const message = 'a cluster with the standard channel of Gateway API does not serve this kind in this version'
    return [{ severity: 'warning', path: ['apiVersion'], message, advice }]
  }
  const problems: FieldProblem[] = []
  walk(standard, value, [], problems)
  return problems
}

function walk(schema: Schema, value: unknown, path: FieldPath, problems: FieldProblem[]): void {
  if (schema['x-kubernetes-preserve-unknown-fields'] === true) return
  if (Array.isArray(value)) {
    if (schema.items !== undefined) for (const [at, item] of value.entries()) walk(schema.items, item, [...path, at], problems)
    return
  }
  if (isMap(value)) {
    for (const key of Object.keys(value)) {
      const child = propertySchema(schema, key)
      if (child !== undefined) walk(child, value[key], [...path, key], problems)
      else if (schema.properties !== undefined) {
        const message = 'a cluster with the standard channel of Gateway API drops this field, which only the experimental channel has'
        problems.push({ severity: 'warning', path: [...path, key], message, advice })
      }
    }
    return
  }
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    const message = `a cluster with the standard channel of Gateway API refuses ${show(value)}, which only the experimental channel has`
    problems.push({ severity: 'warning', path, message, advice })
  }
}
