import { setImmediate } from 'node:timers/promises'
import { Composer, LineCounter, Parser, type Document } from 'yaml'
import { isMap, own, type FieldPath } from '../../api/field.ts'
import { isResourceKind } from '../../api/resources.ts'
import { offsetOf, PlainError, plainOf } from './plain.ts'

/** A place in a file, both from 1. */
export interface Place {
  readonly line: number
  readonly column: number
}

/** Something that is not YAML or JSON. */
export interface SyntaxProblem extends Place {
  readonly severity: 'error' | 'warning'
  readonly message: string
  readonly advice: string
}

/** An object as it stands in a file; valid only during the call that hands it over, as it holds the parsed text. */
export interface RawObject {
  readonly value: unknown
  /** Where one of its fields stands; the object itself for []. */
  readonly locate: (path: FieldPath) => Place
}

export interface Handlers {
  readonly onObject: (object: RawObject) => void
  /** Each `error` means that one document was not handed over, or that the file ends there. */
  readonly onSyntax: (problem: SyntaxProblem) => void
}

/** After so long the event loop gets a turn: a data plane may live in the same process. */
const sliceMs = 10

/**
 * Reads the objects of a manifest one after the other: several documents, `List`s, JSON. Never throws.
 * @param json whether it must also be strict JSON, as a file called `.json` must
 */
export async function parseManifest(text: string, json: boolean, handlers: Handlers): Promise<void> {
  const lines = new LineCounter()
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  if (json) {
    const problem = jsonProblem(text)
    if (problem !== undefined) {
      handlers.onSyntax(problem)
      return
    }
  }
  const composer = new Composer({ version: '1.2', schema: 'core', uniqueKeys: false, prettyErrors: false, logLevel: 'silent' })
  const documents = composer.compose(new Parser(lines.addNewLine).parse(text))
  let sliceEnd = performance.now() + sliceMs
  try {
    for (const document of documents) {
      readDocument(document, placeAt, handlers)
      if (performance.now() < sliceEnd) continue
      await setImmediate()
      sliceEnd = performance.now() + sliceMs
    }
  } catch (error) {
    // The parser recurses: input that is nested thousands of levels deep exhausts its stack.
    const message = error instanceof RangeError ? 'the file is nested too deeply' : `the file can not be parsed: ${String(error)}`
    handlers.onSyntax({ severity: 'error', line: 1, column: 1, message, advice: 'flatten it' })
  }
}

function readDocument(document: Document.Parsed, placeAt: (offset: number) => Place, handlers: Handlers): void {
  for (const warning of document.warnings) {
    handlers.onSyntax({ severity: 'warning', ...placeAt(warning.pos[0]), message: oneLine(warning.message), advice: 'remove what YAML 1.2 does not know' })
  }
  const [first] = document.errors
  if (first !== undefined) {
    handlers.onSyntax({ severity: 'error', ...placeAt(first.pos[0]), message: `is not YAML: ${oneLine(first.message)}`, advice: adviceOn(first.code) })
    return
  }
  if (document.contents === null) return
  try {
    const value = plainOf(document)
    if (value !== null) handOver(value, [], (path) => placeAt(offsetOf(document, path)), handlers)
  } catch (error) {
    if (!(error instanceof PlainError)) throw error
    handlers.onSyntax({ severity: 'error', ...placeAt(error.offset), message: error.message, advice: error.advice })
  }
}

/** Hands over an object, or each object of a `List`. */
function handOver(value: unknown, base: FieldPath, locate: (path: FieldPath) => Place, handlers: Handlers): void {
  const kind = isMap(value) ? own(value, 'kind') : undefined
  const items = isMap(value) ? own(value, 'items') : undefined
  const itemKind = typeof kind === 'string' && kind.endsWith('List') ? kind.slice(0, -'List'.length) : undefined
  if (!isMap(value) || !Array.isArray(items) || (itemKind !== '' && (itemKind === undefined || !isResourceKind(itemKind)))) {
    handlers.onObject({ value, locate: (path) => locate([...base, ...path]) })
    return
  }
  for (const [at, item] of (items as readonly unknown[]).entries()) {
    // Lists of one kind, as the API gives them, leave the kind of their items out.
    const whole = itemKind !== '' && isMap(item) ? { apiVersion: own(value, 'apiVersion'), kind: itemKind, ...item } : item
    handOver(whole, [...base, 'items', at], locate, handlers)
  }
}

function jsonProblem(text: string): SyntaxProblem | undefined {
  if (text.trim() === '') return undefined
  try {
    JSON.parse(text)
    return undefined
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const place = /\(line (\d+) column (\d+)\)/.exec(message)
    const start = message.replace(/ in JSON at position.*$/s, '')
    return { severity: 'error', line: Number(place?.[1] ?? 1), column: Number(place?.[2] ?? 1), message: `is not JSON: ${oneLine(start)}`, advice: 'correct it, or call the file .yaml' }
  }
}

function adviceOn(code: string): string {
  if (code === 'TAB_AS_INDENT') return 'indent with spaces'
  if (code === 'BAD_INDENT' || code === 'MISSING_CHAR') return 'check the indentation and the quotes at this place'
  return 'correct it'
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim().slice(0, 200)
}
