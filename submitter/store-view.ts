/** What a pass knows of a site's store: inputs that are there are not sent. What it is wrong about is sent in the next pass. */
import type { Content, StoreTold } from '../contract/protocol.ts'

export class StoreView {
  #from = 0
  #upTo = 0
  #has = new Set<string>()

  /** From each welcome. */
  learn({ from, upTo, has }: StoreTold): void {
    this.#from = from
    this.#upTo = upTo
    if (has !== undefined) this.#has = new Set(has)
  }

  has({ size, sha256 }: Content): boolean {
    return size >= this.#from && this.#has.has(sha256)
  }

  /** It is kept as it arrives, before anything that is sent after it. */
  sent({ size, sha256 }: Content): void {
    if (size >= this.#from && size <= this.#upTo) this.#has.add(sha256)
  }

  lacks(sha256: string): void {
    this.#has.delete(sha256)
  }
}
