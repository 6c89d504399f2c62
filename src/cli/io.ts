import { wantsColour } from './config.ts'

/** Where a verb says things: data on one stream, talk on the other. */
export interface Io {
  /** Data, as it is. */
  readonly out: (text: string) => void
  /** One line of talk, without its line end. */
  readonly say: (line: string) => void
  /** Paints on `out`. */
  readonly paint: Paint
}

export type Colour = 'red' | 'yellow' | 'green' | 'dim' | 'bold'

export type Paint = (colour: Colour, text: string) => string

const codes: Readonly<Record<Colour, readonly [number, number]>> = { red: [31, 39], yellow: [33, 39], green: [32, 39], dim: [2, 22], bold: [1, 22] }

/** Leaves text as it is. */
export const plain: Paint = (_colour, text) => text

/** Colours by ANSI escapes. */
export const ansi: Paint = (colour, text) => `\u001b[${codes[colour][0]}m${text}\u001b[${codes[colour][1]}m`

/** The standard streams of this process. Readers that go away (`waymark translate … | head`) are no error. */
export function processIo(): Io {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') return
      if (stream === process.stdout) process.stderr.write(`waymark: the output could not be written: ${error.message}\n`)
      process.exit(exitCodes.failed)
    })
  }
  return {
    out: (text) => void process.stdout.write(text),
    say: (line) => void process.stderr.write(`${line}\n`),
    paint: wantsColour(process.stdout) ? ansi : plain,
  }
}

/** What the command's exit codes mean; every verb's help lists its own. */
export const exitCodes = { fine: 0, failed: 1, wrongUse: 2 } as const
