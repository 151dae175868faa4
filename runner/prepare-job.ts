/** Before a script is spawned: its attempt's number, its folder, its text. */
import { join } from 'node:path'
import type { AttemptRecord, EndCause, JobRecord } from '../contract/spool-records.ts'
import { endAttempt, openAttempt } from '../spool/attempt.ts'
import { openRegular } from '../spool/outputs.ts'
import { isoTime } from '../system/clock.ts'
import { digestOf } from '../system/digest.ts'
import { COPY_CLONE, errno, O_NOFOLLOW, O_RDONLY } from '../system/os.ts'
import type { Runner } from './runner.ts'

/** Takes the attempt's number; undefined when somebody else has. With a fence it ends the job, and says why. */
export function takeAttempt(
  runner: Runner,
  job: JobRecord,
  attempt: number,
  more: Pick<AttemptRecord, 'launcher' | 'exit' | 'fence' | 'why'> & { readonly node?: string | undefined } = {},
): AttemptRecord | undefined {
  const { clock } = runner
  const record: AttemptRecord = {
    nonce: runner.uuid(),
    attempt,
    runner: runner.id,
    bootId: runner.bootId,
    startedAt: isoTime(clock.now()),
    uptimeMs: clock.uptime().ms,
    ...more,
    node: more.node ?? runner.node,
  }
  return openAttempt(runner.files, runner.spool.control(job.id), record) ? record : undefined
}

export function recordEnd(runner: Runner, id: string, attempt: number, cause: EndCause, detail?: string): void {
  const at = isoTime(runner.clock.now())
  const more = detail === undefined ? {} : { detail }
  endAttempt(runner.files, runner.spool.control(id), attempt, { cause, at, by: runner.id, ...more })
}

/** Copies an input of the first attempt, as it was published. Throws when a script changed it. */
async function copyInput(runner: Runner, from: string, to: string, input: { path: string; sha256: string }) {
  const { os } = runner.files
  // what a script may have put in its place: nothing, a link, a pipe that would hold us for ever
  const there = runner.files.exists(from) ? openRegular(os, from) : undefined
  if (there === undefined) throw new Error(`its input "${input.path}" was removed or replaced by an earlier attempt`)
  os.closeSync(there.fd)
  try {
    os.copyFileSync(from, to, COPY_CLONE)
  } catch (error) {
    // the folder is new and ours: a name in it is that of a copy whose answer was lost
    if (errno(error) !== 'EEXIST') throw error
    runner.files.remove(to)
    os.copyFileSync(from, to, COPY_CLONE)
  }
  const fd = os.openSync(to, O_RDONLY | O_NOFOLLOW)
  try {
    if ((await digestOf(os, fd)).sha256 !== input.sha256)
      throw new Error(`its input "${input.path}" was changed by an earlier attempt`)
  } finally {
    os.closeSync(fd)
  }
}

/** Between publication and the first attempt a site's cleaner may have come: a script that misses an input would be blamed for it. */
function checkInputs({ files }: Runner, job: JobRecord, dir: string): void {
  for (const { path, size } of Object.values(job.inputs)) {
    if (files.sizeOf(join(dir, path)) === size) continue
    files.listFresh(dir)
    const input = files.stat(join(dir, path))
    if (input === undefined) throw new Error(`its input "${path}" is gone (cleaned away by the site?)`)
    if (input.size !== size) throw new Error(`its input "${path}" has ${input.size} bytes instead of ${size}`)
  }
}

/** A later attempt gets a folder of its own: fresh copies of the inputs, verified, and an empty `output/`. */
async function prepareFolder(runner: Runner, job: JobRecord, attempt: number): Promise<void> {
  const { files, spool } = runner
  const dir = spool.workDir(job.id, attempt)
  const first = spool.workDir(job.id, 1)
  if (!files.exists(first)) throw new Error(`its folder ${first} is gone (cleaned away by the site?)`)
  if (attempt === 1) {
    checkInputs(runner, job, join(dir, 'input'))
    return
  }
  files.openRights(first)
  files.openRights(join(first, 'input'))
  files.removeTree(dir)
  files.makeFolder(join(dir, 'input'))
  files.makeFolder(join(dir, 'output'))
  const outputs = new Set(['input', 'output', ...Object.values(job.outputs).map(({ name }) => name)])
  for (const input of Object.values(job.inputs)) {
    await copyInput(runner, join(first, 'input', input.path), join(dir, 'input', input.path), input)
    if (!outputs.has(input.path)) files.os.symlinkSync(join('input', input.path), join(dir, input.path))
  }
}

/** Makes the folder and writes the script; not synced, as no crash leaves an attempt that would go on with it. */
export async function prepareJob(runner: Runner, job: JobRecord, attempt: number, script: string): Promise<void> {
  await prepareFolder(runner, job, attempt)
  runner.files.replace(runner.spool.control(job.id).script(attempt), script, 0o700)
}
