/** A scheduler in memory: the whole driver interface on one page, for tests of what uses a driver, and the proof that one is small. */
import type { Allocation, Answer, Command, Reply, Scheduler } from '../../scheduler/scheduler.ts'

/** `allocations` and `down` (while set, every command fails with it) are for tests to change; `run` answers the driver's commands. */
export class FakeScheduler implements Scheduler {
  readonly name = 'local'
  readonly environment = 'NATIVE_ID=$$\nRESTART=0\nNODE=fake\n'
  readonly allocations = new Map<string, Allocation>()
  down: string | undefined
  #last = 0

  run({ argv: [, verb, word = ''] }: Command): Reply {
    if (this.down !== undefined) return { code: 1, stdout: '', stderr: this.down, timedOut: false }
    let answer: unknown = { version: 'fake 1', queues: ['default'] }
    if (verb === 'submit') {
      const nativeId = String(++this.#last)
      this.allocations.set(nativeId, { nativeId, identity: word, state: 'pending' })
      answer = nativeId
    }
    if (verb === 'queue') answer = [...this.allocations.values()].filter(({ identity }) => identity.startsWith(word))
    if (verb === 'cancel') answer = this.allocations.delete(word)
    return { code: 0, stdout: `${JSON.stringify(answer)}\n`, stderr: '', timedOut: false }
  }

  submitCommand = ({ identity }: { identity: string }): Command => ({ argv: ['fake', 'submit', identity] })
  readSubmission(reply: Reply) {
    const read = answerOf(reply, (value) => typeof value === 'string')
    if (read.certain) return { outcome: 'submitted', nativeId: read.value as string } as const
    return { outcome: 'ambiguous', why: read.why } as const
  }
  queueCommand = (prefix: string): Command => ({ argv: ['fake', 'queue', prefix] })
  readQueue = (reply: Reply) => answerOf(reply, Array.isArray) as Answer<Allocation[]>
  readEnds = () => []
  cancelCommand = (nativeId: string): Command => ({ argv: ['fake', 'cancel', nativeId] })
  readCancel(reply: Reply): Answer<'sent'> {
    const read = answerOf(reply, (value) => typeof value === 'boolean')
    return read.certain ? { certain: true, value: 'sent' } : read
  }
  checkCommand = (): Command => ({ argv: ['fake', 'check'] })
  readCheck = (reply: Reply) => answerOf(reply, (value) => value !== null) as ReturnType<Scheduler['readCheck']>
}

function answerOf({ code, stdout, stderr, timedOut }: Reply, fits: (value: unknown) => boolean): Answer<unknown> {
  if (code !== 0 || timedOut || !stdout.endsWith('\n')) return { certain: false, why: stderr }
  try {
    const value: unknown = JSON.parse(stdout)
    return fits(value) ? { certain: true, value } : { certain: false, why: stdout }
  } catch {
    return { certain: false, why: stdout }
  }
}
