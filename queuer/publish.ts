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

/** Everything a record from the wire must be before it becomes paths. */
export function checkRecord(record: JobRecord): string | undefined {
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

/**
 * Moves a verified upload into place. Safe to repeat, after a crash between any two of its steps too: what has been moved already is
 * not made again, and only `job.yml` under its final name says that it was published.
 */
export async function publishJob(queuer: Queuer, staged: string, record: JobRecord): Promise<void> {
  const { files, spool } = queuer
  const control = spool.control(record.id)
  if (files.exists(control.record)) {
    await locate(queuer, record.id)
    files.removeTree(staged)
    return
  }
  const job = join(staged, 'job')
  const workDir = spool.workDir(record.id, 1)
  if (files.exists(job) || !files.exists(workDir)) {
    files.makeFolder(join(job, 'input'))
    files.makeFolder(join(job, 'output'))
    linkInputs(queuer, job, record)
    files.syncFolder(join(job, 'input'))
    // an earlier upload of the same job may have stopped right after this move
    if (files.exists(workDir)) files.removeTree(workDir)
    moved(files.move(job, workDir), job)
    files.syncFolder(spool.jobs)
  }
  const prepared = join(staged, 'control')
  files.makeFolder(join(prepared, 'attempts'))
  files.publish(join(prepared, 'job.yml'), `${JSON.stringify(record)}\n`)
  moved(files.move(prepared, control.dir), prepared)
  files.syncFolder(spool.controls)
  files.makeFolder(spool.queue(record.lane))
  files.createExclusive(join(spool.queue(record.lane), record.key), '')
  files.removeTree(staged)
}

function moved(done: boolean, what: string): void {
  if (!done) throw new Error(`cannot publish: ${what} has vanished`)
}
