/**
 * Publishing a job: `jobs/<id>`, then `control/<id>`, then its key. Present under its final name means complete, and only the key makes
 * a runner look; so a crash anywhere leaves a job that nobody sees or one that is whole, and publishing again goes on where it stopped.
 */
import { join } from 'node:path'
import { idOfKey, isJobId, isSafeName, spoolFormat } from '../contract/spool.ts'
import type { JobRecord } from '../contract/spool-records.ts'
import { locate } from './audit.ts'
import type { Queuer } from './queuer.ts'
import { isFileName } from './receive.ts'

/** Whether it has the parts that paths are made of. */
function isRecord(record: JobRecord): boolean {
  const isMapping = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isMapping(record) || !isMapping(record.inputs) || !isMapping(record.outputs)) return false
  const parts: unknown[] = [...Object.values(record.inputs), ...Object.values(record.outputs)]
  return typeof record.format === 'number' && typeof record.key === 'string' && parts.every(isMapping)
}

/** Everything a record from the wire must be before it becomes paths. */
export function checkRecord(record: JobRecord): string | undefined {
  if (!isRecord(record)) return 'it is no record of a job'
  if (record.format > spoolFormat) return `format ${record.format} is newer than this hpc_queuer knows`
  if (!isJobId(record.id)) return 'its id is not one of ours'
  if (idOfKey(record.key) !== record.id) return 'its key does not name it'
  if (!isSafeName(record.lane) || !isSafeName(record.gateway)) return 'its lane or gateway is no name of ours'
  const inputs = Object.values(record.inputs).map(({ path }) => path)
  const outputs = Object.values(record.outputs).map(({ name }) => name)
  for (const name of [...inputs, ...outputs]) if (!isFileName(name)) return `"${name}" is no file name`
  if (new Set(inputs).size !== inputs.length) return 'two inputs have one name'
  if (new Set(outputs).size !== outputs.length) return 'two outputs have one name'
  return undefined
}

/** Templates of the flat layout find `<workspace>/<name>`: a relative link beside each input that is not also an output. */
function linkInputs(queuer: Queuer, dir: string, record: JobRecord): void {
  const taken = new Set(['input', 'output', ...Object.values(record.outputs).map(({ name }) => name)])
  for (const { path } of Object.values(record.inputs)) {
    if (!taken.has(path) && !queuer.files.exists(join(dir, path)))
      queuer.files.os.symlinkSync(join('input', path), join(dir, path))
  }
}

/** A verified upload, and what it is to become. */
export interface Upload {
  readonly staged: string
  readonly record: JobRecord
}

/** One job; throws when it could not be published. */
export async function publishJob(queuer: Queuer, staged: string, record: JobRecord): Promise<void> {
  const [fault] = await publishJobs(queuer, [{ staged, record }])
  if (fault !== undefined) throw fault.error
}

/**
 * Moves verified uploads into place, many together: each by the same steps in the same order, each step of all of them before the next of
 * any, so that a folder is synced once for all. Safe to repeat, after a crash between any two steps too: what has been moved already is
 * not made again, and only `job.yml` under its final name says that it was published. Gives each job's fault; `stillNewest` throws when
 * a newer pass has begun.
 */
export async function publishJobs(
  queuer: Queuer,
  uploads: readonly Upload[],
  stillNewest: () => void = () => undefined,
): Promise<({ readonly error: unknown } | undefined)[]> {
  const { files, spool } = queuer
  const faults = new Map<Upload, { readonly error: unknown }>()
  let left = uploads
  const each = (act: (upload: Upload) => void) => {
    for (const upload of left) {
      try {
        act(upload)
      } catch (error) {
        faults.set(upload, { error })
      }
    }
    left = left.filter((upload) => !faults.has(upload))
  }
  const sync = (dir: string, those: readonly Upload[] = left) => {
    if (those.length === 0) return
    try {
      files.syncFolder(dir)
    } catch (error) {
      for (const upload of those) faults.set(upload, { error })
      left = left.filter((upload) => !faults.has(upload))
    }
  }
  stillNewest()
  left = await notYetPublished(queuer, uploads, faults)
  each((upload) => moveWorkFolder(queuer, upload))
  sync(spool.jobs)
  each((upload) => moveControlFolder(queuer, upload))
  sync(spool.controls)
  if (left.length > 0) stillNewest()
  each(({ record }) => files.createHint(join(spool.queue(record.lane), record.key), ''))
  for (const lane of new Set(left.map(({ record }) => record.lane)))
    sync(
      spool.queue(lane),
      left.filter(({ record }) => record.lane === lane),
    )
  for (const { staged } of left) if (!files.removeEmptyFolder(staged)) files.removeTree(staged)
  return uploads.map((upload) => faults.get(upload))
}

/** What was published before is only looked after. */
async function notYetPublished(
  queuer: Queuer,
  uploads: readonly Upload[],
  faults: Map<Upload, { readonly error: unknown }>,
): Promise<Upload[]> {
  const { files, spool } = queuer
  const left: Upload[] = []
  for (const upload of uploads) {
    const { staged, record } = upload
    try {
      const path = spool.control(record.id).record
      if (!files.exists(path)) {
        left.push(upload)
        continue
      }
      const there = files.readJson<JobRecord>(path)
      if (there !== undefined && (there.gateway !== record.gateway || there.key !== record.key))
        throw new Error(`its id ${record.id} is that of another job here`)
      await locate(queuer, record.id)
      files.removeTree(staged)
    } catch (error) {
      faults.set(upload, { error })
    }
  }
  return left
}

function moveWorkFolder(queuer: Queuer, { staged, record }: Upload): void {
  const { files, spool } = queuer
  const job = join(staged, 'job')
  const workDir = spool.workDir(record.id, 1)
  const moves = !files.exists(workDir)
  const uploaded = files.exists(job)
  if (!moves && !uploaded) return
  if (!uploaded) files.makeFolder(join(job, 'input'))
  files.makeFolder(join(job, 'output'))
  linkInputs(queuer, job, record)
  for (const dir of [join(job, 'input'), job]) files.syncFolder(dir)
  // an earlier upload of the same job may have stopped right after this move
  if (!moves) files.removeTree(workDir)
  moved(files.move(job, workDir), job)
}

function moveControlFolder({ files, spool }: Queuer, { staged, record }: Upload): void {
  const prepared = join(staged, 'control')
  files.makeFolder(prepared)
  files.makeFolder(join(prepared, 'attempts'))
  const text = `${JSON.stringify(record)}\n`
  const path = join(prepared, 'job.yml')
  // nobody reads it before its folder is in place; one that is there was left by a crash
  if (!files.createExclusive(path, text, 0o600, 'later')) files.publish(path, text, 0o600, 'later')
  files.syncFolder(prepared)
  moved(files.move(prepared, spool.control(record.id).dir), prepared)
}

function moved(done: boolean, what: string): void {
  if (!done) throw new Error(`cannot publish: ${what} has vanished`)
}
