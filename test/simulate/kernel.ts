/** Simulated time: events in the order of their moment, then of their making; chance from a seed. Nothing else moves the world. */

/** Small, fast, and the same everywhere (mulberry32). */
export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  happens(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.next() * list.length)] as T
  }

  hex(digits: number): string {
    let text = ''
    while (text.length < digits) text += this.between(0, 15).toString(16)
    return text
  }

  uuid(): string {
    return `${this.hex(8)}-${this.hex(4)}-4${this.hex(3)}-8${this.hex(3)}-${this.hex(12)}`
  }
}

interface Event {
  readonly at: number
  readonly order: number
  act: (() => void) | undefined
}

export type Cancel = () => void

/** Promises and streams come to rest: whatever they had queued has run when the event loop turns. */
const rest = () => new Promise<void>((resolve) => setImmediate(resolve))

export class Kernel {
  now = 0
  events = 0
  #order = 0
  readonly #heap: Event[] = []

  after(ms: number, act: () => void): Cancel {
    this.#order += 1
    const event: Event = { at: this.now + Math.max(0, ms), order: this.#order, act }
    this.#push(event)
    return () => {
      event.act = undefined
    }
  }

  /** Runs until `done`, or until the moment `endMs`; false when that came first. */
  async run(done: () => boolean, endMs: number): Promise<boolean> {
    await rest()
    while (!done()) {
      const event = this.#heap[0]
      if (event === undefined || event.at > endMs) {
        this.now = endMs
        return false
      }
      this.#pop()
      const { act } = event
      if (act === undefined) continue
      this.now = event.at
      this.events += 1
      act()
      await rest()
    }
    return true
  }

  #before(a: Event, b: Event): boolean {
    return a.at < b.at || (a.at === b.at && a.order < b.order)
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const up = (at - 1) >> 1
      const parent = heap[up] as Event
      if (!this.#before(event, parent)) break
      heap[at] = parent
      at = up
    }
    heap[at] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      let down = 2 * at + 1
      if (down >= heap.length) break
      const right = heap[down + 1]
      if (right !== undefined && this.#before(right, heap[down] as Event)) down += 1
      if (!this.#before(heap[down] as Event, last)) break
      heap[at] = heap[down] as Event
      at = down
    }
    heap[at] = last
  }
}
