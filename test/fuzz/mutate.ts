/** New inputs from known ones: what breaks parsers is a byte changed, a piece doubled, moved, cut or put in from elsewhere. */
import { Chance } from '../simulate/kernel.ts'

const oddBytes = [0, 1, 9, 10, 13, 27, 32, 34, 39, 47, 58, 91, 92, 96, 123, 127, 128, 160, 194, 239, 255]
const oddNumbers = ['0', '-1', '1e9', '4294967296', '9007199254740993', '00', '0x10', '1.5', 'NaN', ' ']
const longest = 16 * 1024
/** Seldom one grows to this: what is slow shows only there. */
const longestOfAll = 96 * 1024

export class Mutator {
  readonly #chance: Chance
  readonly #words: readonly Buffer[]

  constructor(seed: number, words: readonly string[]) {
    this.#chance = new Chance(seed)
    this.#words = words.map((word) => Buffer.from(word))
  }

  /** One input made of `corpus`. */
  next(corpus: readonly Buffer[]): Buffer {
    let bytes = this.#chance.pick(corpus)
    const steps = 1 + Math.floor(this.#chance.next() ** 2 * 6)
    for (let step = 0; step < steps; step++) bytes = this.#step(bytes, corpus)
    if (this.#chance.happens(0.004)) bytes = this.#grow(bytes)
    return bytes.length > longestOfAll ? bytes.subarray(0, longestOfAll) : bytes
  }

  #step(bytes: Buffer, corpus: readonly Buffer[]): Buffer {
    const chance = this.#chance
    const [from, to] = this.#range(bytes)
    const put = (piece: Uint8Array) => this.#cut(Buffer.concat([bytes.subarray(0, from), piece, bytes.subarray(to)]))
    switch (chance.between(0, 11)) {
      case 0: {
        if (bytes.length === 0) return bytes
        const copy = Buffer.from(bytes)
        const at = chance.between(0, bytes.length - 1)
        copy[at] = (copy[at] ?? 0) ^ (1 << chance.between(0, 7))
        return copy
      }
      case 1:
        return this.#insert(bytes, Buffer.from([chance.pick(oddBytes)]))
      case 2:
        return this.#insert(bytes, Buffer.from([chance.between(0, 255)]))
      case 3:
        return put(Buffer.alloc(0))
      case 4:
        return this.#insert(bytes, bytes.subarray(from, to))
      case 5:
      case 6:
        return this.#words.length === 0 ? bytes : this.#insert(bytes, chance.pick(this.#words))
      case 7:
        return this.#words.length === 0 ? bytes : put(chance.pick(this.#words))
      case 8: {
        const other = chance.pick(corpus)
        const [start, end] = this.#range(other)
        return put(other.subarray(start, end))
      }
      case 9:
        return this.#lines(bytes)
      case 10:
        return Buffer.from(
          bytes.toString('latin1').replace(/\d+/, () => chance.pick(oddNumbers)),
          'latin1',
        )
      default:
        return bytes.subarray(0, chance.between(0, bytes.length))
    }
  }

  /** A line doubled, dropped, or changed for another. */
  #lines(bytes: Buffer): Buffer {
    const lines = bytes.toString('latin1').split('\n')
    const at = this.#chance.between(0, lines.length - 1)
    const other = this.#chance.between(0, lines.length - 1)
    const kind = this.#chance.between(0, 2)
    if (kind === 0) lines.splice(at, 0, lines[other] ?? '')
    else if (kind === 1) lines.splice(at, 1)
    else [lines[at], lines[other]] = [lines[other] ?? '', lines[at] ?? '']
    return this.#cut(Buffer.from(lines.join('\n'), 'latin1'))
  }

  #grow(bytes: Buffer): Buffer {
    const [from, to] = this.#range(bytes)
    const piece = to > from ? bytes.subarray(from, Math.min(to, from + 64)) : Buffer.from(' ')
    const count = Math.floor(longestOfAll / piece.length / this.#chance.between(1, 20))
    return Buffer.concat([bytes.subarray(0, from), ...Array(count).fill(piece), bytes.subarray(from)])
  }

  #insert(bytes: Buffer, piece: Uint8Array): Buffer {
    const at = this.#chance.between(0, bytes.length)
    return this.#cut(Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]))
  }

  #cut(bytes: Buffer): Buffer {
    return bytes.length > longest ? bytes.subarray(0, longest) : bytes
  }

  #range(bytes: Buffer): [number, number] {
    const from = this.#chance.between(0, bytes.length)
    return [from, Math.min(bytes.length, from + Math.floor(this.#chance.next() ** 3 * bytes.length))]
  }
}
