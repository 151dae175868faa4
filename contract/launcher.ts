/**
 * The launcher: one bash per slot that starts scripts one after the other and outlives a killed runner. A runner's own process is large,
 * so that each fork of it takes a millisecond and more; this one is small. It is told of a script in two steps: what to make ready, then
 * to go. When its input ends before that it starts nothing; a script that runs is seen to its end, and its exit written, whoever lives.
 *
 * What is told comes by descriptor 3, and its reports go there: its pid first, then a dot for each script that has ended.
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
  builtin printf 'group %s\\nstart %s\\n' "$BASHPID" "$up" >&2 || exit 125
  builtin cd -- "$dir" && exec </dev/null >"$out" 2>"$err" && exec "\${via[@]}" $shell "$script"
}
hear() {
  local text rest
  text=$(<"$told") && [[ $text == *$'\\nrc '*$'\\nend' ]] || exit 125
  rest=\${text##*$'\\nrc '}
  rc=\${rest%%$'\\n'*}
  rest=\${rest%$'\\nend'}
  builtin printf '%s\\nfar %s\\n' "\${text%$'\\nrc '*}" "\${rest##*$'\\n'}" >&2
}
run() {
  eval "$text"
  exec 2>>"$exit" || exit 125
  times >&2
  (start)
  rc=$?
  [[ -e $out || $rc -eq 1 ]] || exit 125
  builtin read -r up rest </proc/uptime || up=0
  [[ -z $told ]] || hear
  builtin printf 'rc %s %s\\n' "$rc" "$up" >&2
  times >&2
  builtin printf 'end\\n' >&2 || exit 125
  exec 2>/dev/null
  builtin printf .
}
serve() {
  trap : TERM INT HUP USR1 USR2 PIPE
  set -m
  builtin printf '%s\\n' "$BASHPID"
  while builtin read -r -N 8 length && builtin read -r -N "$length" text; do run; done
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
  const { script, shell = '', workDir, stdout, stderr, exit, environment, far } = start
  const names = Object.entries({ script, shell, dir: workDir, out: stdout, err: stderr, exit, told: far?.told ?? '' })
  const exported = Object.entries(environment)
  const assigned = (pairs: [string, string][]) => pairs.map(([name, value]) => `${name}=${word(value)}`).join(' ')
  const text = `local ${assigned(names)} via=(${(far?.via ?? []).map(word).join(' ')})${exported.length > 0 ? `; local -x ${assigned(exported)}` : ''}`
  return `${String(text.length).padStart(8, '0')}${text}`
}

export const goText = 'g'
