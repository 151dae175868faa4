/** One of the processes that run schedules: seeds in, what became of them out. */
import { loadPrograms, type Programs, type ProgramTexts } from './programs.ts'
import { runSchedule } from './schedule.ts'
import { Death } from './task.ts'
import type { Order, Told } from './workers.ts'

const stray: string[] = []
// the dead go on for a moment, and nobody listens to them
process.on('unhandledRejection', (error) => {
  if (error instanceof Death) return
  stray.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
})
// thousands of errors are thrown that are answers (no such file), and nobody reads where
Error.stackTraceLimit = 0

let texts: ProgramTexts | undefined
let programs: Programs | undefined

/** Everything about one seed; whoever reads the programs anew first leaves nothing of a seed before. */
export async function runSeed(given: Programs, seed: number, faults: boolean, trace?: (line: string) => void) {
  const outcome = await runSchedule(seed, given, { faults, ...(trace === undefined ? {} : { trace }) })
  // nobody waited for it: in a process of its own this would have been its end
  const broken = [...outcome.broken, ...stray.splice(0).map((text) => `a rejection nobody heard: ${text}`)]
  return { ...outcome, broken }
}

async function obey(order: Order): Promise<void> {
  texts = order.texts ?? texts
  if (texts === undefined) throw new Error('no programs were given')
  if (programs === undefined || order.texts !== undefined) programs = loadPrograms(texts)
  for (const seed of order.seeds) {
    const { broken, injected } = await runSeed(programs, seed, order.faults)
    const told: Told = { seed, broken, injected: [...injected] }
    process.send?.(told)
  }
}

let before = Promise.resolve()
if (process.send !== undefined) {
  process.on('disconnect', () => process.exit())
  process.on('message', (order: Order) => {
    before = before.then(() => obey(order))
  })
}
