/** Slurm inside an allocation of several nodes: which nodes they are, and steps on them. Seen on 22.05.8. */
import type { Command, Reply } from './scheduler.ts'
import { cancelDefaults, command, readingDefaults, withoutDefaults } from './slurm.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** Asks for the nodes by name; undefined in an allocation of one. */
export function hostNamesCommand(environment: Environment): Command | undefined {
  const list = environment.SLURM_JOB_NODELIST
  if (list === undefined || !(Number(environment.SLURM_JOB_NUM_NODES) > 1)) return undefined
  return { argv: ['scontrol', 'show', 'hostnames', list] }
}

/** The nodes, the runner's own first; undefined when the reply does not tell, or not of ours. */
export function readHostNames(reply: Reply, environment: Environment): string[] | undefined {
  const own = environment.SLURMD_NODENAME
  const names = reply.stdout.split('\n').filter((name) => name !== '')
  if (reply.code !== 0 || own === undefined || !names.includes(own)) return undefined
  return [own, ...names.filter((name) => name !== own)]
}

/**
 * The words before what is to run on that node as a step of this name. It shares all that the allocation has there with the other steps.
 * Of `--quiet` two are needed to silence errors too, which would stand in the job's stderr; what is fatal is still said. The CPUs of a
 * task must be named: srun takes no more than one from sbatch since 22.05.
 */
export function stepWords(node: string, name: string, environment: Environment): string[] {
  const cpus = environment.SLURM_CPUS_PER_TASK
  return [
    ...['srun', '-QQ', '--nodes=1', '--ntasks=1', `--nodelist=${node}`, '--overlap', '--mem=0', '--mpi=none'],
    ...['--input=none', '--export=ALL', `--job-name=${name}`],
    ...(cpus === undefined ? [] : [`--cpus-per-task=${cpus}`]),
  ]
}

export function stepsCommand(nativeId: string): Command {
  const words = ['squeue', '--steps', `--jobs=${nativeId}`, '--noheader', '--format=%i %j']
  return command([...withoutDefaults(readingDefaults), ...words])
}

/** The ids of the steps of this name; undefined when the reply does not tell. */
export function readSteps(reply: Reply, name: string): string[] | undefined {
  if (reply.code !== 0) return undefined
  return reply.stdout.split('\n').flatMap((line) => {
    const [id, ...rest] = line.trim().split(' ')
    return id !== undefined && rest.join(' ') === name ? [id] : []
  })
}

/** Reaches every process of the steps. On 22.05 scancel may say "Invalid job id specified" and fail though it has done it. */
export function signalStepsCommand(ids: readonly string[], signal: 'TERM' | 'KILL'): Command {
  return command([...withoutDefaults(cancelDefaults), 'scancel', `--signal=${signal}`, ...ids])
}
