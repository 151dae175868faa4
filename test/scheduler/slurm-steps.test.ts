import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hostNamesCommand, readHostNames, readSteps, stepWords } from '../../scheduler/slurm-steps.ts'

const environment = { SLURM_JOB_NODELIST: 'gpu[001-003]', SLURM_JOB_NUM_NODES: '3', SLURMD_NODENAME: 'gpu002' }
const reply = (stdout: string, code: number | null = 0) => ({ code, stdout, stderr: '', timedOut: false })

test('only an allocation of several nodes asks for their names', () => {
  assert.deepEqual(hostNamesCommand(environment)?.argv, ['scontrol', 'show', 'hostnames', 'gpu[001-003]'])
  assert.equal(hostNamesCommand({ ...environment, SLURM_JOB_NUM_NODES: '1' }), undefined)
  assert.equal(hostNamesCommand({}), undefined)
})

test("the runner's own node comes first; a reply that does not name it tells nothing", () => {
  assert.deepEqual(readHostNames(reply('gpu001\ngpu002\ngpu003\n'), environment), ['gpu002', 'gpu001', 'gpu003'])
  assert.equal(readHostNames(reply('gpu001\ngpu003\n'), environment), undefined)
  assert.equal(readHostNames(reply('gpu002\ngpu003\n', 1), environment), undefined)
  assert.equal(readHostNames(reply('gpu002\n'), { ...environment, SLURMD_NODENAME: undefined }), undefined)
})

test('a step is one task on its node, beside the other steps, with the CPUs that sbatch was asked for', () => {
  const words = stepWords('gpu003', 'a job.1', { SLURM_CPUS_PER_TASK: '4' })
  assert.deepEqual(words.slice(0, 2), ['srun', '-QQ'])
  for (const word of ['--ntasks=1', '--nodelist=gpu003', '--overlap', '--job-name=a job.1', '--cpus-per-task=4'])
    assert.ok(words.includes(word), word)
  assert.ok(!stepWords('gpu003', 'a', {}).some((word) => word.startsWith('--cpus-per-task')))
})

test('steps are known by their whole name', () => {
  const listed = reply('7.0 host-1-2.1\n7.1 host-1-2.10\n7.3 host-1-2.1\n7.batch batch\n')
  assert.deepEqual(readSteps(listed, 'host-1-2.1'), ['7.0', '7.3'])
  assert.deepEqual(readSteps(reply(''), 'host-1-2.1'), [])
  assert.equal(readSteps(reply('7.0 host-1-2.1\n', 1), 'host-1-2.1'), undefined)
})
