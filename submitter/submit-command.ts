/** `submit FILE…`: drops descriptions as a tool would, and waits for their results if asked to. */
import { basename } from 'node:path'
import { endsDocument, endsInNewline } from '../contract/document-end.ts'
import { HpcError, printable, quoted } from '../contract/errors.ts'
import { parseDescriptionProblems, readDescription } from '../contract/read-description.ts'
import { jobFile, nameLimitBytes } from './dropbox.ts'
import type { Gateway } from './gateway.ts'
import type { JobBlock } from './job-block.ts'
import { readSubmitted } from './submitted-file.ts'
import { findTemplate } from './templates.ts'

export interface SubmitOptions {
  readonly name: string | undefined
  readonly wait: boolean
  readonly periodMs: number
  readonly timeoutMs: number | undefined
  /** On a time-out: ask for the job's end as well. */
  readonly cancel: boolean
  /** Leave the .finished file where it is after it was read. */
  readonly keep: boolean
  readonly json: boolean
}

const timedOut = 124

/** The description with YAML's document end, so that it is complete at once. */
function completed(bytes: Uint8Array): Uint8Array {
  if (endsDocument(bytes)) return bytes
  return Buffer.concat([bytes, Buffer.from(`${endsInNewline(bytes) ? '' : '\n'}...\n`)])
}

function drop(gateway: Gateway, file: string, name: string): void {
  const bytes = gateway.files.read(file)
  if (bytes === undefined) throw new HpcError('usage', `Cannot submit ${quoted(file)}: there is no such file`)
  if (name === '' || name.startsWith('.') || name.includes('/') || Buffer.byteLength(`${name}.job`) > nameLimitBytes) {
    throw new HpcError('usage', `Cannot submit ${quoted(file)} as ${quoted(name)}: that is no name for a job`, {
      hint: 'give one with --name',
    })
  }
  const reading = readDescription(bytes, `${name}.job`)
  if (!reading.ok) throw new HpcError('description', parseDescriptionProblems(reading.problems, basename(file)))
  const template = findTemplate(gateway, reading.description.script)
  if ('fault' in template) {
    const problems = [{ key: 'script', message: template.fault }]
    throw new HpcError('description', parseDescriptionProblems(problems, basename(file)))
  }
  const paths = jobFile(gateway, name)
  const taken = [paths.submitted, paths.finished].find((path) => gateway.files.exists(path))
  if (taken !== undefined || !gateway.files.createExclusive(paths.job, completed(bytes), 0o644)) {
    throw new HpcError(
      'usage',
      `Cannot submit ${quoted(file)}: ${quoted(basename(taken ?? paths.job))} is in the dropbox`,
      {
        hint: 'take its result away first, or give another name with --name',
      },
    )
  }
}

/** The result of a job once it is there; undefined before. */
function result(gateway: Gateway, name: string): JobBlock | undefined {
  const paths = jobFile(gateway, name)
  if (!gateway.files.exists(paths.finished)) return undefined
  const found = readSubmitted(gateway, name, 'finished')
  if (found === undefined || found === 'raw')
    throw new HpcError('site', `Cannot read ${quoted(paths.finished)}: it is no result of ours`)
  return found.job as JobBlock
}

export async function submitCommand(
  gateway: Gateway,
  files: readonly string[],
  options: SubmitOptions,
): Promise<number> {
  if (options.name !== undefined && files.length > 1) throw new HpcError('usage', '--name goes with one file')
  const jobs = files.map((file) => ({ file, name: options.name ?? basename(file).replace(/\.job$/, '') }))
  if (new Set(jobs.map(({ name }) => name)).size !== jobs.length)
    throw new HpcError('usage', 'two of the files have one name')
  for (const { file, name } of jobs) drop(gateway, file, name)
  if (!options.wait) {
    for (const { name } of jobs) process.stdout.write(options.json ? `${JSON.stringify({ name })}\n` : `${name}\n`)
    return 0
  }
  const startMs = gateway.clock.monotonicMs()
  let code = 0
  for (const { name } of jobs) {
    for (;;) {
      const block = result(gateway, name)
      if (block !== undefined) {
        if (!tell(name, block, options.json)) code = 1
        if (!options.keep) gateway.files.remove(jobFile(gateway, name).finished)
        break
      }
      if (options.timeoutMs !== undefined && gateway.clock.monotonicMs() - startMs >= options.timeoutMs) {
        if (options.cancel) gateway.files.createExclusive(jobFile(gateway, name).cancel, '', 0o644)
        process.stderr.write(
          `${printable(name)}: no result after ${options.timeoutMs / 1000} s; the job ${options.cancel ? 'is asked to stop' : 'goes on'}\n`,
        )
        code = timedOut
        break
      }
      await gateway.clock.sleep(options.periodMs)
    }
  }
  return code
}

/** Passes the job's streams on as they were; the verdict goes to stderr. True when the job is ok. */
function tell(name: string, block: JobBlock, json: boolean): boolean {
  if (json) process.stdout.write(`${JSON.stringify({ name, ...block })}\n`)
  else {
    process.stdout.write(block.stdout)
    process.stderr.write(block.stderr)
    process.stderr.write(`${printable(name)}: ${block.status}: ${printable(block.message)}\n`)
  }
  return block.status === 'ok'
}
