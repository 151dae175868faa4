/** How a writer says "this file is complete": YAML's document end on the last line, or at least a line feed. */

/** The last line is `...`, spaces and line ends after it aside. Looks at the end of the file only. */
export function endsDocument(bytes: Uint8Array): boolean {
  let end = bytes.length
  while (end > 0 && isBlank(bytes[end - 1])) end--
  if (end < 3 || bytes[end - 1] !== dot || bytes[end - 2] !== dot || bytes[end - 3] !== dot) return false
  const before = bytes[end - 4]
  return before === undefined || before === lineFeed || before === carriageReturn
}

export function endsInNewline(bytes: Uint8Array): boolean {
  return bytes[bytes.length - 1] === lineFeed
}

const dot = 0x2e
const lineFeed = 0x0a
const carriageReturn = 0x0d

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === lineFeed || byte === carriageReturn
}
