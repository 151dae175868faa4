/** What follows at once upon something else: passes of hosts that watch, and jobs of tools that wait for a script. */
import type { Wake } from '../../submitter/dropbox.ts'
import type { GatewayHost } from './gateway-host.ts'

interface Due {
  readonly names: Set<string>
  news: boolean
  wake: () => void
}

export class Pace {
  readonly #due = new Map<GatewayHost, Due>()
  #atStart: ((ms: number) => void)[] = []

  /** When somebody woke that host. */
  woken(host: GatewayHost): Promise<void> {
    const due = this.#of(host)
    if (due.news || due.names.size > 0) return Promise.resolve()
    return new Promise((resolve) => {
      due.wake = resolve
    })
  }

  /** What woke it since the pass before. */
  take(host: GatewayHost): Wake | undefined {
    const due = this.#due.get(host)
    this.#due.delete(host)
    if (due === undefined || (!due.news && due.names.size === 0)) return undefined
    return { names: due.names, news: due.news }
  }

  /** A tool wrote a job, or asks to cancel it. */
  written(hosts: readonly GatewayHost[], name: string): void {
    for (const host of hosts) {
      const due = this.#of(host)
      due.names.add(name)
      due.wake()
    }
  }

  scriptEnded(hosts: readonly GatewayHost[]): void {
    for (const host of hosts) {
      const due = this.#of(host)
      due.news = true
      due.wake()
    }
  }

  /** Once, when the next script starts: told how long it takes. */
  atStart(act: (ms: number) => void): void {
    this.#atStart.push(act)
  }

  scriptStarted(ms: number): void {
    const acts = this.#atStart
    this.#atStart = []
    for (const act of acts) act(ms)
  }

  #of(host: GatewayHost): Due {
    const due = this.#due.get(host) ?? { names: new Set(), news: false, wake: () => undefined }
    this.#due.set(host, due)
    return due
  }
}
