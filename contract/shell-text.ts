/** Shell text that both the login node and the worker run: quoting, and finding a Node that is new enough. */

export function shellQuoted(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

const moduleFiles =
  '/etc/profile.d/modules.sh /etc/profile.d/lmod.sh /usr/share/lmod/lmod/init/sh /usr/share/modules/init/sh /etc/profile.d/z00_lmod.sh'

/**
 * POSIX shell lines that set NODE, or print one line (after `complaint`, on stdout; without it on stderr) and end with 127. `setting` is
 * a path or a `module load …` line: what the operator has set is used and nothing else, so that a wrong line shows. Without it: Node on
 * PATH, then `candidates`.
 */
export function findNodeLines(setting: string | undefined, candidates: readonly string[], complaint?: string): string {
  const module = setting?.startsWith('module ') === true ? setting : undefined
  const lines: string[] = []
  if (module !== undefined) {
    lines.push(
      `command -v module >/dev/null 2>&1 || for f in ${moduleFiles}; do [ -r "$f" ] && . "$f" >/dev/null 2>&1 && break; done`,
      `${module} >/dev/null 2>&1 || F=${shellQuoted(`"${module}" failed: `)}`,
    )
  }
  const tried =
    module !== undefined
      ? '"$(command -v node)"'
      : setting !== undefined
        ? shellQuoted(setting)
        : ['"$(command -v node)"', ...candidates.map(shellQuoted)].join(' ')
  const advice =
    'no Node 18 or newer on $(hostname): set node: of this site to its path or to a module load line, or run hpc-submitter deploy --node FILE'
  lines.push(
    'NODE=',
    `for n in ${tried}; do`,
    // asked for its version it ends before it starts V8: a tenth of running a line of JavaScript
    '  [ -x "$n" ] && v=$("$n" --version 2>/dev/null) && v=${v#v} && [ "${v%%.*}" -ge 18 ] 2>/dev/null && { NODE=$n; break; }',
    'done',
    'if [ -z "$NODE" ]; then',
    `  echo "${complaint ?? 'hpc-batch: '}\${F:-}${setting !== undefined && module === undefined ? `node: ${setting.replaceAll(/["$`\\]/g, '')} does not run; ` : ''}${advice}"${complaint === undefined ? ' >&2' : ''}`,
    '  exit 127',
    'fi',
  )
  return lines.join('\n')
}
