import type { ResourceSet } from '../api/resources.ts'
import type { TranslateOptions, Translation } from './options.ts'
import { createTranslator } from './translator.ts'

/**
 * Turns the objects of a cluster or a folder into what the data plane runs and what statuses must say.
 * Pure: equal objects in any order give an equal answer, the input is not written to, nothing else is read.
 */
export function translate(resources: ResourceSet, options: TranslateOptions): Translation {
  return createTranslator()(resources, options)
}
