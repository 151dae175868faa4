/** The environment a script gets: what the site's own tools need, by an allow-list, and every value as `HPC_ARG_<name>`. */

const allowed = new Set(
  'PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR TERM HOSTNAME LD_LIBRARY_PATH MANPATH CUDA_VISIBLE_DEVICES GPU_DEVICE_ORDINAL ROCR_VISIBLE_DEVICES XDG_RUNTIME_DIR NSLOTS JOB_ID MODULEPATH MODULESHOME LOADEDMODULES _LMFILES_ BASH_ENV ENV'.split(
    ' ',
  ),
)
const allowedPrefixes = [
  'LC_',
  'SLURM_',
  'SLURMD_',
  'LMOD_',
  'MODULES_',
  'BASH_FUNC_',
  'SINGULARITY',
  'APPTAINER',
  'LSB_',
  'SGE_',
  'PE_',
  '__LMOD',
  'OMP_',
  'NVIDIA_',
]

const kept = new WeakMap<object, Record<string, string>>()

/** Looked through once: reading `process.env` asks the system for every name anew. */
export function siteEnvironment(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const known = kept.get(environment)
  if (known !== undefined) return known
  const found: Record<string, string> = {}
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && (allowed.has(name) || allowedPrefixes.some((prefix) => name.startsWith(prefix))))
      found[name] = value
  }
  kept.set(environment, found)
  return found
}

const nodesOwn = 'HOSTNAME XDG_RUNTIME_DIR CUDA_VISIBLE_DEVICES GPU_DEVICE_ORDINAL ROCR_VISIBLE_DEVICES'.split(' ')

/** What is true on the runner's own node only: of another one, the scheduler tells it there. */
export function withoutNodesOwn(environment: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !nodesOwn.includes(name)))
}

/** One word of an environment is limited by the kernel (128 KiB); a value beyond it reaches the script by its template only. */
const longestWord = 120_000
/** bash takes 1.3 s to start with 20,000 variables, 12 s with 60,000, and so do all that a script starts of it: beyond these, by template only. */
const mostValues = 4_000

export function fittingEnvironment(values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values)
      .filter(([name, value]) => Buffer.byteLength(name) + Buffer.byteLength(value) < longestWord)
      .slice(0, mostValues),
  )
}

/** GPUs the allocation may use, in the order the scheduler names them; none when it does not tell. */
export function visibleGpus(environment: Readonly<Record<string, string | undefined>>): string[] {
  const text = environment.CUDA_VISIBLE_DEVICES ?? environment.SLURM_JOB_GPUS ?? ''
  return text === 'NoDevFiles'
    ? []
    : text
        .split(',')
        .map((gpu) => gpu.trim())
        .filter((gpu) => gpu !== '')
}

/** The GPUs of one slot: an equal share when they divide; one each, shared, when there are several slots to a GPU; else all of them. */
export function gpusOfSlot(gpus: readonly string[], slots: number, slot: number): readonly string[] {
  if (slots === 1 || gpus.length === 0) return gpus
  if (gpus.length % slots === 0) {
    const share = gpus.length / slots
    return gpus.slice(slot * share, (slot + 1) * share)
  }
  const one = gpus[slot % gpus.length]
  return slots % gpus.length === 0 && one !== undefined ? [one] : gpus
}
