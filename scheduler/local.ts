/**
 * No scheduler: the runner is a detached process of this machine. What a scheduler's database is elsewhere is the process table here: an
 * allocation is a live process of ours with the identity as a word of its command line, its native id is its pid. So the trampoline
 * must `exec` the runner and hand the identity on (`exec node … "$1"`). Limits: one machine only; no walltime (the runner keeps its own).
 */

import { HpcError, quoted } from '../contract/errors.ts'
import type { Allocation, Answer, Reply, Scheduler, Submission } from './scheduler.ts'

const fieldEnd = '\x1f'
const recordEnd = '\x1e'

/** All data comes in as positional parameters or on stdin; these texts are constant. */
const sh = (text: string, ...words: string[]) => ({ argv: ['/bin/sh', '-c', text, 'sh', ...words] }) as const

/**
 * $1 script, $2 identity, $3 and $4 logs, $5 working folder. Checks come first, because nobody sees what fails after the fork.
 * `setsid` in the background need not fork, so $! stays the pid through all the execs; without it nohup keeps the runner from the hang-up,
 * and `cancel` then finds no process group of that number and signals the one process.
 */
const submit = `
cd "$5" || exit 73
[ -x "$1" ] || { echo "$1 is not an executable file" >&2; exit 66; }
for log in "$3" "$4"; do
  [ -d "\${log%/*}" ] && [ -w "\${log%/*}" ] || { echo "the folder of $log cannot be written" >&2; exit 73; }
done
if command -v setsid >/dev/null 2>&1; then detach=setsid; else detach=nohup; fi
"$detach" /bin/sh -c 'exec "$1" "$2" >>"$3.$$" 2>>"$4.$$"' sh "$1" "$2" "$3" "$4" </dev/null >/dev/null 2>&1 &
echo "$!"
`

/**
 * The prefix comes on stdin, so that no process of this very search carries it on its command line. A child that the runner has forked
 * but not yet exec'd shows the runner's command line: it is left out by its parent. grep gives 2 when a process vanishes under
 * it, which is no uncertainty; 126 and more means it never ran, and then there is no end mark. A zombie's command line is empty; so is,
 * for some microseconds, that of a process in the middle of exec, and that is why nothing found is looked for again.
 */
const queue = `
[ -r "/proc/$$/cmdline" ] || { echo '/proc cannot be read' >&2; exit 1; }
IFS= read -r prefix && [ -n "$prefix" ] || { echo 'asked for nothing' >&2; exit 1; }
for search in 1 2; do
  files=$(printf '%s\\n' "$prefix" | grep -alF -f - /proc/[0-9]*/cmdline 2>/dev/null)
  [ $? -le 2 ] || { echo 'grep did not run' >&2; exit 1; }
  [ -z "$files" ] || break
done
vanished() { [ ! -d "$1" ] || { echo "$1 cannot be read" >&2; exit 1; }; }
for file in $files; do
  folder=\${file%/cmdline}
  [ -O "$folder" ] || continue
  { IFS= read -r stat <"$folder/stat"; } 2>/dev/null || { vanished "$folder"; continue; }
  words=$({ tr '\\000\\n' '\\037 ' <"$file"; } 2>/dev/null) || { vanished "$folder"; continue; }
  printf '%s\\037%s\\037%s\\036\\n' "\${folder#/proc/}" "\${stat##*) }" "$words"
done
echo end
`

/** A pid can have passed to another process since: only one that still names an identity of ours is signalled. */
const cancel = `
[ -d "/proc/$1" ] || exit 0
grep -qaF hpc-batch/ "/proc/$1/cmdline" 2>/dev/null || exit 0
kill -TERM -- "-$1" 2>/dev/null || kill -TERM "$1" 2>/dev/null || { [ ! -d "/proc/$1" ] && exit 0; echo "cannot signal $1" >&2; exit 1; }
`

const check = `
[ -r /proc/self/cmdline ] || { echo '/proc cannot be read' >&2; exit 1; }
grep -q . /proc/self/stat || exit 1
uname -sr
`

export const local: Scheduler = {
  name: 'local',

  submitCommand(request) {
    for (const path of [request.script, request.stdoutPath, request.stderrPath, request.workDir])
      if (!path.startsWith('/') || path.includes('\0'))
        throw new HpcError('config', `Cannot start a runner: the path ${quoted(path)} is not absolute`)
    if (!/^hpc-batch\/\S+$/.test(request.identity))
      throw new HpcError('bug', `Cannot start a runner: ${quoted(request.identity)} is no identity`)
    return sh(submit, request.script, request.identity, request.stdoutPath, request.stderrPath, request.workDir)
  },

  readSubmission(reply): Submission {
    const nativeId = /^([1-9]\d{0,9})\n$/.exec(reply.stdout)?.[1]
    if (nativeId !== undefined && (reply.code === 0 || reply.code === null)) return { outcome: 'submitted', nativeId }
    const why = whyOf('the local start', reply)
    // Our own codes come from the checks before the fork; a shell that cannot fork says so with 2 and no pid, but that is not proof.
    if (!reply.timedOut && reply.stdout === '' && (reply.code === 66 || reply.code === 73))
      return { outcome: 'refused', why, permanent: false }
    return { outcome: 'ambiguous', why }
  },

  queueCommand(identityPrefix) {
    if (identityPrefix === '' || /[\0\n]/.test(identityPrefix))
      throw new HpcError('bug', `Cannot look for runners: ${quoted(identityPrefix)} is no identity`)
    return { ...sh(queue), stdin: `${identityPrefix}\n` }
  },

  readQueue(reply, identityPrefix): Answer<readonly Allocation[]> {
    if (reply.timedOut || reply.code !== 0) return unknown(whyOf('the search of /proc', reply))
    const records = reply.stdout.split(`${recordEnd}\n`)
    if (records.pop() !== 'end\n') return unknown('the search of /proc gave an answer that is cut off')
    const found: (Allocation & { readonly parent: string })[] = []
    for (const record of records) {
      const [nativeId = '', stat = '', ...words] = record.split(fieldEnd)
      const parent = /^[A-Za-z] (\d+) /.exec(stat)?.[1]
      if (!/^\d{1,10}$/.test(nativeId) || parent === undefined)
        return unknown(`the search of /proc gave the line ${quoted(record.replaceAll(fieldEnd, ' '))}`)
      const identity = words.find((word) => word.startsWith(identityPrefix))
      if (identity === undefined || /^[ZXx]/.test(stat)) continue
      found.push({ nativeId, identity, state: 'running', ...(/^[Tt]/.test(stat) ? { reason: 'stopped' } : {}), parent })
    }
    const pids = new Set(found.map(({ nativeId }) => nativeId))
    return { certain: true, value: found.filter(({ parent }) => !pids.has(parent)).map(({ parent, ...rest }) => rest) }
  },

  // the process table forgets at once
  readEnds: () => [],

  cancelCommand(nativeId) {
    if (!/^[1-9]\d{0,9}$/.test(nativeId) || nativeId === '1')
      throw new HpcError('bug', `Cannot stop ${quoted(nativeId)}: not the pid of a runner`)
    return sh(cancel, nativeId)
  },

  readCancel(reply) {
    return !reply.timedOut && reply.code === 0 ? { certain: true, value: 'sent' } : unknown(whyOf('kill', reply))
  },

  checkCommand: () => sh(check),

  readCheck(reply) {
    const version = reply.stdout.trim()
    if (reply.timedOut || reply.code !== 0 || version === '') return unknown(whyOf('the look at this machine', reply))
    return { certain: true, value: { version, queues: [] } }
  },

  environment: 'NATIVE_ID="$$"\nRESTART=0\nNODE="$(uname -n)"\n',
}

const unknown = (why: string): { readonly certain: false; readonly why: string } => ({ certain: false, why })

function whyOf(what: string, reply: Reply): string {
  if (reply.timedOut) return `${what} did not answer in time`
  const said = reply.stderr.trim().split('\n').at(-1) ?? ''
  const how = reply.code === null ? 'was killed' : `ended with ${reply.code}`
  return said === '' ? `${what} ${how} and said nothing` : `${what} ${how}, ${quoted(said, 300)}`
}
