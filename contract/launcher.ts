/**
 * The launcher: one bash per slot that starts scripts one after the other and outlives a killed runner. A runner's own process is large,
 * so that each fork of it takes a millisecond and more; this one is small. It is told of a script in two steps: what to make ready, then
 * to go. When its input ends before that it starts nothing; a script that runs is seen to its end, and its exit written, whoever lives.
 *
 * What is told comes by descriptor 3, and its reports go there: its pid first, then a dot for each script that has ended. What makes a
 * script ready is a call of `run`: before it the script's own variables, after it the names of its files, and its words. From then on all
 * that the launcher says goes to the exit file, without a redirection for each line. It lets go of that before the dot, as bash would
 * complain there of a runner that is gone.
 *
 * A script has a process group of its own, within the launcher's session: `set -m` does that. It is a subshell whose parent has gone,
 * because only the main shell, with `set -m`, takes a script that was stopped (a suspended allocation) for one that has ended; and it
 * waits for scripts in the foreground, because bash does not name the TERM that ended one in the background. Signals that end the script
 * are outlived by a trap that does something: it is reset in the script, where an ignored signal would stay ignored. What the site
 * exports as functions may bear any name, hence `builtin`.
 *
 * It is run from a file: given with `-c`, bash keeps silent about the signal that ended a script. All text for it is ASCII, as `read -N`
 * counts characters of whatever the site's locale says.
 *
 * A script of another node is started by way of further words, and how it ended is `told` in a file written there (`step-script.ts`);
 * where nothing whole is told, no exit is written either: the script may not even have begun.
 */
import { launcherMark } from './job-mark.ts'

export const launcherText = `unset ${launcherMark}
start() {
  trap : TERM INT HUP USR1 USR2
  builtin read -r -N 1 go || exit 125
  builtin read -r up rest </proc/uptime || up=0
  builtin printf 'group %s\\nstart %s\\n' "$BASHPID" "$up" || exit 125
  builtin cd -- "$1" && exec </dev/null >"$2" 2>"$3" && exec "\${@:6}"
}
hear() {
  local text rest
  text=$(<"$1") && [[ $text == *$'\\nrc '*$'\\nend' ]] || exit 125
  rest=\${text##*$'\\nrc '}
  rc=\${rest%%$'\\n'*}
  rest=\${rest%$'\\nend'}
  builtin printf '%s\\nfar %s\\n' "\${text%$'\\nrc '*}" "\${rest##*$'\\n'}"
}
run() {
  exec >>"$4" 2>&1 || exit 125
  times
  (start "$@")
  rc=$?
  [[ -e $2 || $rc -eq 1 ]] || exit 125
  builtin read -r up rest </proc/uptime || up=0
  [[ -z $5 ]] || hear "$5"
  builtin printf 'rc %s %s\\n' "$rc" "$up"
  times
  builtin printf 'end\\n' || exit 125
  exec >/dev/null 2>&1
  builtin printf . >&0
}
serve() {
  trap : TERM INT HUP USR1 USR2 PIPE
  set -m
  builtin printf '%s\\n' "$BASHPID"
  while builtin read -r -N 8 length && builtin read -r -N "$length" text; do eval "$text"; done
}
set -m
(serve) <&3 >&3 3>&- &
`

/** How the launcher's file is called. */
export const launcherFile = 'job-wrapper.'

/** One start of a script, as its launcher is told of it. */
export interface ScriptStart {
  readonly script: string
  /** Who reads a script without a first line. */
  readonly shell: string | undefined
  readonly workDir: string
  readonly stdout: string
  readonly stderr: string
  readonly exit: string
  /** Of a script of another node: the words that start the rest there, and where its end will be told. */
  readonly far?: { readonly via: readonly string[]; readonly told: string }
  /** Beside what the launcher itself was started with. */
  readonly environment: Readonly<Record<string, string>>
}

/** One word of bash, in ASCII, that stands for these bytes. */
function word(text: string): string {
  if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(text)) return text
  if (/^[\n -~]*$/.test(text)) return `'${text.replaceAll("'", "'\\''")}'`
  let quoted = ''
  for (const byte of Buffer.from(text)) {
    if (byte >= 0x20 && byte < 0x7f && byte !== 0x27 && byte !== 0x5c) quoted += String.fromCharCode(byte)
    else quoted += `\\${byte.toString(8).padStart(3, '0')}`
  }
  return `$'${quoted}'`
}

/** What is written to a launcher so that it makes a script ready: its length in eight characters, and the text. */
export function renderLoad(start: ScriptStart): string {
  const { script, shell, workDir, stdout, stderr, exit, environment, far } = start
  const values = Object.entries(environment).map(([name, value]) => `${name}=${word(value)}`)
  const words = [...(far?.via ?? []), ...(shell === undefined ? [] : [shell]), script]
  const told = far?.told ?? ''
  const text = [...values, 'run', ...[workDir, stdout, stderr, exit, told, ...words].map(word)].join(' ')
  return `${String(text.length).padStart(8, '0')}${text}`
}

export const goText = 'g'
