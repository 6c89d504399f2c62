import { setImmediate } from 'node:timers/promises'
import { Composer, LineCounter, Lexer, Parser, type CST, type Document } from 'yaml'
import { isMap, own, type FieldPath } from '../../api/field.ts'
import { isResourceKind } from '../../api/resources.ts'
import { messageOf } from '../../kit/message.ts'
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

/** What the parser may have open at once: about two for each level of maps and lists. */
const maxStack = 300

/**
 * Reads the objects of a manifest one after the other: several documents, `List`s, JSON. Never throws.
 * @param json whether it must also be strict JSON, as a file called `.json` must
 */
export async function parseManifest(text: string, json: boolean, handlers: Handlers): Promise<void> {
  try {
    await parseAll(text, json, handlers)
  } catch (error) {
    // A defect of the library must not end the process that reads the folder.
    const message = `the file can not be parsed: ${oneLine(String(error))}`
    handlers.onSyntax({ severity: 'error', line: 1, column: 1, message, advice: 'write it in a simpler way, and report this' })
  }
}

async function parseAll(text: string, json: boolean, handlers: Handlers): Promise<void> {
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
  const parser = new Parser(lines.addNewLine)
  const compose = (tokens: Iterable<CST.Token>): void => {
    for (const token of tokens) for (const document of composer.next(token)) readDocument(document, placeAt, handlers)
  }
  lines.addNewLine(0)
  let sliceEnd = performance.now() + sliceMs
  let count = 0
  for (const lexeme of new Lexer().lex(text)) {
    compose(parser.next(lexeme))
    if (parser.stack.length > maxStack) {
      // The library takes quadratic time and the whole stack for what is nested thousands of levels deep.
      const advice = 'flatten it: no Kubernetes object is that deep'
      const message = 'the file is nested too deeply here, and is not read any further'
      handlers.onSyntax({ severity: 'error', ...placeAt(parser.offset), message, advice })
      return
    }
    if (++count % 256 !== 0 || performance.now() < sliceEnd) continue
    await setImmediate()
    sliceEnd = performance.now() + sliceMs
  }
  compose(parser.end())
  for (const document of composer.end()) readDocument(document, placeAt, handlers)
}

function readDocument(document: Document.Parsed, placeAt: (offset: number) => Place, handlers: Handlers): void {
  for (const warning of document.warnings) {
    const advice = 'remove what YAML 1.2 does not know'
    handlers.onSyntax({ severity: 'warning', ...placeAt(warning.pos[0]), message: oneLine(warning.message), advice })
  }
  const [first] = document.errors
  if (first !== undefined) {
    const message = `is not YAML: ${oneLine(first.message)}`
    handlers.onSyntax({ severity: 'error', ...placeAt(first.pos[0]), message, advice: adviceOn(first.code) })
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
  const message = jsonError(text)
  if (message === undefined || text.trim() === '') return undefined
  // The engine tells the place only now and then: it is where the longest beginning ends that could still become JSON.
  let [good, bad] = [0, text.length]
  while (good < bad) {
    const middle = (good + bad + 1) >> 1
    if (mayBecomeJson(text.slice(0, middle))) good = middle
    else bad = middle - 1
  }
  const before = text.slice(0, good).split('\n')
  const place = { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }
  const start = message.replace(/( in JSON at position|, "|, \.\.\.).*$/s, '')
  return { severity: 'error', ...place, message: `is not JSON: ${oneLine(start)}`, advice: 'correct it, or call the file .yaml' }
}

/** Whether `text` is JSON, or would be if more came. */
function mayBecomeJson(text: string): boolean {
  const message = jsonError(text)
  if (message === undefined || message.startsWith('Unexpected end') || message.startsWith('Unterminated')) return true
  const position = /at position (\d+)/.exec(message)
  return position !== null && Number(position[1]) >= text.length
}

function jsonError(text: string): string | undefined {
  try {
    JSON.parse(text)
    return undefined
  } catch (error) {
    return messageOf(error)
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
