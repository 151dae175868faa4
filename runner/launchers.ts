/** The launchers of this runner's slots: each serves one script after another, and is replaced when a script took it along. */
import { type Launcher, startLauncher } from '../system/process.ts'
import { gpusOfSlot, siteEnvironment, visibleGpus, withoutNodesOwn } from './job-environment.ts'
import type { Place } from './places.ts'

/** Beside such values the environment of a script may be more than the kernel takes: a launcher is tried with them. */
const heavyBytes = 100_000

export class Launchers {
  readonly #file: string
  readonly #environment: Readonly<Record<string, string | undefined>>
  readonly #idle = new Map<number, Launcher[]>()
  /** Those with one job's values in their environment, and those that are gone. */
  readonly #spent = new WeakSet<Launcher>()
  readonly #served = new WeakSet<Launcher>()

  constructor(file: string, environment: Readonly<Record<string, string | undefined>>) {
    this.#file = file
    this.#environment = environment
  }

  /** One that is idle, or a new one: of a script with heavy values, which must be in its own environment, a new one always. */
  async take(slot: number, place: Place, heavy: Readonly<Record<string, string>> | undefined): Promise<Launcher> {
    const idle = heavy === undefined ? this.#idle.get(slot)?.pop() : undefined
    if (idle !== undefined) return idle
    const { BASH_ENV: _, ...site } = siteEnvironment(this.#environment)
    const gpus = gpusOfSlot(visibleGpus(this.#environment), place.slots, place.slot)
    const own = place.slots > 1 && gpus.length > 0 ? { ...site, CUDA_VISIBLE_DEVICES: gpus.join(',') } : site
    const launcher = await startLauncher(this.#file, {
      ...(place.node === undefined ? own : withoutNodesOwn(site)),
      ...heavy,
    })
    if (heavy !== undefined) this.#spent.add(launcher)
    void launcher.gone.then(() => {
      this.#spent.add(launcher)
      const left = this.#idle.get(slot)?.filter((one) => one !== launcher)
      if (left !== undefined) this.#idle.set(slot, left)
    })
    return launcher
  }

  /** Its script and all that this left behind are gone. */
  giveBack(slot: number, launcher: Launcher): void {
    this.#served.add(launcher)
    if (this.#spent.has(launcher)) launcher.end()
    else this.#idle.set(slot, [...(this.#idle.get(slot) ?? []), launcher])
  }

  /** Whether it can still start a script, as far as we know. */
  isUsable(launcher: Launcher): boolean {
    return !this.#spent.has(launcher)
  }

  /** Whether it has seen a script to its end. */
  hasServed(launcher: Launcher): boolean {
    return this.#served.has(launcher)
  }

  end(): void {
    for (const launcher of [...this.#idle.values()].flat()) launcher.end()
    this.#idle.clear()
  }
}

/** What a script's environment has beside the launcher's: bash itself would run what `BASH_ENV` names. */
export function startEnvironment(
  site: Readonly<Record<string, string | undefined>>,
  values: Readonly<Record<string, string>>,
): { readonly light: Record<string, string>; readonly heavy: Record<string, string> | undefined } {
  const { BASH_ENV } = siteEnvironment(site)
  const own = BASH_ENV === undefined ? {} : { BASH_ENV }
  const bytes = Object.entries(values).reduce((sum, [name, value]) => sum + name.length + Buffer.byteLength(value), 0)
  return bytes > heavyBytes ? { light: own, heavy: { ...values } } : { light: { ...own, ...values }, heavy: undefined }
}
