/** Characters that a terminal obeys instead of showing: C0 and C1 controls and marks that turn the direction of writing. */
const controls = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g

/** `text` in one line that can't move the cursor, colour what follows or look like another line: controls become `\u001b` and the like. */
export function printable(text: string): string {
  return text.replace(controls, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
