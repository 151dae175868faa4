import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'

const program = join(import.meta.dirname, '..', '..', 'bench', 'peers', 'hpc_batch_way.py')
const dir = mkdtempSync(join(tmpdir(), 'hpc-way-'))
after(() => rmSync(dir, { recursive: true, force: true }))

/** Stands for paramiko and writes down what is asked of it. */
const stub = `import sys
class Said:
    def __init__(self, prefix=''): self.prefix = prefix
    def __getattr__(self, name):
        def call(*args, **kwargs):
            words = [a for a in args if isinstance(a, (str, int))]
            print(self.prefix + name, *words, file=sys.stderr)
            if name == 'listdir_attr': return listing(args[0])
            return Said(self.prefix)
        return call
    def __enter__(self): return self
    def __exit__(self, *_): print(self.prefix + 'close', file=sys.stderr)
class Entry:
    def __init__(self, name, mode): self.filename, self.st_mode = name, mode
def listing(path):
    if path.endswith('/input'): return [Entry('input.bin', 0o100600)]
    if path.endswith('/output'): return [Entry('output.bin', 0o100600)]
    return [Entry('input', 0o040700), Entry('output', 0o040700), Entry('job.sh', 0o100700)]
SSHClient, AutoAddPolicy = Said, object
`

function callsOf(what: string): string[] {
  writeFileSync(join(dir, 'paramiko.py'), stub)
  const words = [what, 'host', '22', 'user', 'key', '1', '/here', '/there']
  const ran = spawnSync('python3', [program, ...words], {
    encoding: 'utf8',
    env: { ...process.env, PYTHONPATH: dir, PYTHONDONTWRITEBYTECODE: '1' },
  })
  assert.equal(ran.status, 0, ran.stderr)
  return ran.stderr.trim().split('\n').slice(2, -1)
}

test('hpc_batch’s way of sending a job: folders, input, job.sh, x bit, each awaited', () => {
  assert.deepEqual(callsOf('stage'), [
    'open_sftp',
    'mkdir /there/0',
    'mkdir /there/0/input',
    'mkdir /there/0/output',
    'put /here/0/input.bin /there/0/input/input.bin',
    'close',
    'open_sftp',
    'put /here/0/job.sh /there/0/job.sh',
    'chmod /there/0/job.sh 488',
    'close',
  ])
})

test('hpc_batch’s way of collecting a job: output, streams, end, then everything removed one by one', () => {
  const calls = callsOf('collect')
  assert.deepEqual(calls.slice(0, 3), [
    'open_sftp',
    'get /there/0/output/output.bin /here/0/output.bin',
    'open /there/0/stdout.txt',
  ])
  assert.deepEqual(
    calls.filter((call) => /^(remove|rmdir)/.test(call)),
    [
      'remove /there/0/input/input.bin',
      'rmdir /there/0/input',
      'remove /there/0/output/output.bin',
      'rmdir /there/0/output',
      'remove /there/0/job.sh',
      'rmdir /there/0',
    ],
  )
})
