/**
 * `watch`: the same pass as `tick`, woken. The clock ticks every minute and looks at everything; a change in the dropbox or the word of a
 * site only comes sooner, and a pass it wakes looks at that alone: in a large dropbox a listing takes longer than all else. A missed
 * event costs latency, never a job. Connections are kept between passes; the config is read again when its file changes.
 */
import cron from 'node-cron'
import { describeError } from '../contract/errors.ts'
import type { Config, Site } from './config.ts'
import type { Wake } from './dropbox.ts'
import type { Gateway } from './gateway.ts'
import { Session } from './session.ts'
import { readSiteState } from './site-state.ts'
import { type TickReport, tick } from './tick.ts'
import { watchDropbox } from './watch-dropbox.ts'

export interface WatchSettings {
  /** Cron expression of the passes that come without being woken. */
  readonly cron: string
  /** Reads the config again; undefined when it has not changed. Throws when it is wrong: the old one goes on. */
  readonly reload: () => Promise<Gateway | undefined>
  readonly onReport: (gateway: Gateway, report: TickReport) => void
  /** Settles when watching is to end. */
  readonly ended: Promise<void>
}

const newsEveryMs = 250
/** So long a pass may keep the next from beginning. */
const patienceMs = 2_000
const leaveMs = 5_000
/** New files come in bursts: so long after the first one the pass begins. */
const gatherMs = 20

export async function watch(first: Gateway, settings: WatchSettings): Promise<void> {
  let gateway = first
  let ended = false
  let wake: () => void = () => undefined
  const due = new Due(() => wake())
  const lookAtAll = () => due.all()
  const lookAt = (name: string | undefined) => (name === undefined ? due.all() : due.name(name))
  const sessions = new Sessions(
    () => gateway,
    () => due.news(),
  )
  let dropbox = await watchDropbox(gateway, lookAt)
  const task = cron.schedule(settings.cron, lookAtAll, { noOverlap: true, suppressMissedWarning: true })
  // we were stopped, or the machine slept: what the clock missed is made up for now
  task.on('execution:missed', lookAtAll)
  void settings.ended.then(() => {
    ended = true
    lookAtAll()
  })
  const running = new Set<Promise<void>>()
  let leftOver = false
  const onePass = async (gateway: Gateway, what: Wake | undefined) => {
    try {
      const report = await tick(gateway, (site) => sessions.of(site), what)
      // left to a pass of our own that is still at work; what another process holds is its business
      leftOver ||= report.busy.length > 0 && running.size > 1
      settings.onReport(gateway, report)
      await sessions.askForNews()
      // as long as each pass gets on
      if (report.accepted?.more === true && report.accepted.accepted + report.accepted.refused > 0) lookAtAll()
      // no event tells that a file stands still; what else waits, waits for one, or for the clock
      const growing = report.accepted?.growing ?? []
      if (growing.length > 0) soon(gateway.config, () => growing.forEach(lookAt))
    } catch (error) {
      if (!ended) gateway.log.warn(describeError(error))
    }
  }
  try {
    while (!ended) {
      try {
        const reloaded = await settings.reload()
        if (reloaded !== undefined) {
          await dropbox.close()
          await Promise.all(running)
          await sessions.closeAll()
          gateway = reloaded
          dropbox = await watchDropbox(gateway, lookAt)
          due.all()
          gateway.log.info('the config has changed and is in force')
        }
      } catch (error) {
        gateway.log.warn(`the changed config is not used: ${describeError(error)}`)
      }
      const pass = onePass(gateway, due.take())
      running.add(pass)
      void pass.finally(() => {
        running.delete(pass)
        if (!leftOver || running.size > 0) return
        leftOver = false
        due.all()
      })
      // a slow site keeps its own lock and its own pass: the dropbox and the other sites go on without it
      await gateway.clock.within(patienceMs, pass)
      if (!due.something && !ended) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
        wake = () => undefined
      }
      await gateway.clock.sleep(gatherMs)
    }
  } finally {
    await task.destroy()
    await dropbox.close()
    // passes at work get a moment to end; one that a site holds up is cut, and loses nothing: the next pass goes on from the files
    await gateway.clock.within(leaveMs, Promise.all(running))
    await gateway.clock.within(leaveMs, sessions.closeAll())
    await gateway.clock.within(leaveMs, Promise.all(running))
  }
}

/** One listing is cheaper than so many looks; and of so many at once the system may have forgotten some. */
const mostNames = 1_000

/** What the next pass has to look at: at first everything, then what came meanwhile. */
class Due {
  readonly #wake: () => void
  #everything = true
  #names = new Set<string>()
  #news = false

  constructor(wake: () => void) {
    this.#wake = wake
  }

  all(): void {
    this.#everything = true
    this.#wake()
  }

  name(name: string): void {
    this.#names.add(name)
    if (this.#names.size > mostNames) this.#everything = true
    this.#wake()
  }

  news(): void {
    this.#news = true
    this.#wake()
  }

  get something(): boolean {
    return this.#everything || this.#news || this.#names.size > 0
  }

  take(): Wake | undefined {
    const wake = this.#everything ? undefined : { names: this.#names, news: this.#news }
    this.#everything = false
    this.#names = new Set()
    this.#news = false
    return wake
  }
}

function soon(config: Config, look: () => void): void {
  setTimeout(look, Math.max(1_000, config.settleMs)).unref()
}

/** One kept session a site; a broken one is opened anew by the pass that needs it. */
class Sessions {
  readonly #gateway: () => Gateway
  readonly #onNews: () => void
  readonly #open = new Map<string, Promise<Session>>()

  constructor(gateway: () => Gateway, onNews: () => void) {
    this.#gateway = gateway
    this.#onNews = onNews
  }

  async of(site: Site): Promise<Session> {
    const kept = await this.#open.get(site.name)?.catch(() => undefined)
    if (kept?.alive === true) return kept
    await kept?.close()
    const gateway = this.#gateway()
    const opening = Session.open(gateway, site, readSiteState(gateway, site.name).workspace !== undefined)
    this.#open.set(site.name, opening)
    const session = await opening
    session.onNews = this.#onNews
    return session
  }

  async askForNews(): Promise<void> {
    for (const opening of this.#open.values()) {
      const session = await opening.catch(() => undefined)
      if (session?.alive === true) await session.send({ type: 'watch', everyMs: newsEveryMs }).catch(() => undefined)
    }
  }

  async closeAll(): Promise<void> {
    for (const opening of this.#open.values()) await (await opening.catch(() => undefined))?.close()
    this.#open.clear()
  }
}
