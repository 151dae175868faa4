/** The launcher of scripts is a shell, with effects of its own: its text, with a death put in at one of them. */
import { launcherText } from '../../contract/launcher.ts'
import type { Effect, When } from './plan.ts'

interface Cut extends Effect {
  /** The line of the launcher, cut to its beginning, that has this effect; `nth` when there are several. */
  readonly line: string
  readonly nth?: number
  /** What of that line happens before the effect, and what the effect is, when it is not the whole line. */
  readonly until?: string
  readonly act?: string
  /** Half of what it writes. */
  readonly half?: string
}

const toScript = '  builtin cd -- '
const toTell = "  builtin printf 'group"
const group = `printf 'group %s\\n' "$BASHPID" >&2`
const start = `printf 'start %s\\n' "$up" >&2`
const timesLine = "printf '0m0.001s 0m0.001s\\n' >&2"
/** A shell writes line by line, and `times` prints two. */
const times = (path: string, nth: number): Cut[] => {
  const line = {
    kind: 'write',
    path,
    halves: true,
    line: '  times',
    nth,
    act: timesLine,
    half: "printf '0m0.' >&2",
  } as const
  return [line, { ...line, until: timesLine }]
}
/** Of one start of a script, in the order in which they come. */
const cuts: readonly Cut[] = [
  { kind: 'create', path: 'exit file', halves: false, line: '  exec >>' },
  ...times('times before', 0),
  { kind: 'exec', path: 'fork of the script', halves: false, line: '  (start', act: '(start "$@") &' },
  { kind: 'write', path: 'group', halves: true, line: toTell, act: group, half: "printf 'gro' >&2" },
  { kind: 'write', path: 'start', halves: true, line: toTell, until: group, act: start, half: "printf 'sta' >&2" },
  { kind: 'create', path: 'stdout', halves: false, line: toScript, act: ': >"$2"' },
  { kind: 'create', path: 'stderr', halves: false, line: toScript, until: ': >"$2"', act: ': >"$3"' },
  { kind: 'write', path: 'rc', halves: true, line: "  builtin printf 'rc", half: "printf 'rc 0' >&2" },
  ...times('times', 1),
  { kind: 'write', path: 'end', halves: true, line: "  builtin printf 'end", half: "printf 'en' >&2" },
]

/** Of a launcher that starts so many scripts: it forks once to leave the runner's side, then serves. */
export function launcherEffects(scripts: number): Effect[] {
  return [{ kind: 'exec', path: 'fork of the server', halves: false }, ...Array(scripts).fill(cuts).flat()]
}

/** What an effect belongs to: the number of the script, from 1, or 0 for the launcher's own beginning. */
function placeOf(at: number): { script: number; cut: Cut | undefined } {
  return { script: Math.ceil((at - 1) / cuts.length), cut: at === 1 ? undefined : cuts[(at - 2) % cuts.length] }
}

/** The launcher that kills itself at its effect number `at`, and writes into `struck` of which attempt it was then. */
export function dyingLauncher(at: number, when: When, struck: string): string {
  const { script, cut } = placeOf(at)
  const die = `printf %s "$HPC_BATCH_JOB" >'${struck}'; kill -KILL "$boss" $BASHPID`
  if (cut === undefined) {
    const fork = when === 'after' ? '\n(serve) <&3 >&3 3>&- &\nboss=$!\n' : '\nboss=$BASHPID\n'
    return launcherText.replace(/\n\(serve\).*\n/, () => `${fork}${die}\n`)
  }
  const lines = launcherText.replace('run() {', 'run() {\n  count=$((count+1)) boss=$BASHPID').split('\n')
  const found = lines.flatMap((line, i) => (line.startsWith(cut.line) ? [i] : []))[cut.nth ?? 0]
  if (found === undefined) throw new Error(`the launcher has no line ${cut.line}`)
  const act = when === 'after' ? (cut.act ?? lines[found]) : when === 'half' ? cut.half : undefined
  const dying = [cut.until, act, die].filter((line) => line !== undefined).join('\n')
  return [...lines.slice(0, found), `if [[ $count -eq ${script} ]]; then\n${dying}\nfi`, ...lines.slice(found)].join(
    '\n',
  )
}

/** Whether the script's exit is whole when it has died there. */
export function tells(at: number, when: When): boolean {
  return at > 1 && (at - 1) % cuts.length === 0 && when === 'after'
}
