/** Runs many scripts in one go and says what the programs in them received. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Run {
  /** What the script printed. */
  readonly printed: string
  readonly complained: string
  /** Files it left in its folder, which was empty when it began. */
  readonly files: readonly string[]
}

/** Prints its arguments, each in ⟦…⟧: no two different lists of arguments look the same, for no value contains these brackets. */
const argv = `#!/bin/sh\nfor argument; do printf '⟦%s⟧' "$argument"; done\n`

/** Prints what it can read, in the same brackets. */
const stdin = `#!/bin/sh\nprintf '⟦'; cat; printf '⟧'\n`

const driver = `
cd "$1" || exit
export PATH="$1/bin:$PATH"
for script in scripts/*; do
  number=\${script#scripts/}
  mkdir "runs/$number" || exit
  ( cd "runs/$number" && "$2" "../../$script" ) >"printed/$number" 2>"complained/$number" </dev/null
done
exit 0
`

/** Each script in a process and an empty folder of its own, with the programs `argv` and `stdin` on its path. */
export function runScripts(scripts: readonly string[], shell = 'bash'): readonly Run[] {
  const folder = mkdtempSync(join(tmpdir(), 'hpc-batch-template-'))
  try {
    for (const name of ['bin', 'scripts', 'runs', 'printed', 'complained']) mkdirSync(join(folder, name))
    writeFileSync(join(folder, 'bin/argv'), argv, { mode: 0o755 })
    writeFileSync(join(folder, 'bin/stdin'), stdin, { mode: 0o755 })
    scripts.forEach((script, index) => {
      writeFileSync(join(folder, 'scripts', String(index)), script)
    })
    execFileSync('bash', ['-c', driver, 'driver', folder, shell], {
      env: { ...process.env, LC_ALL: 'C.UTF-8' },
      timeout: 120_000,
    })
    return scripts.map((_, index) => ({
      printed: readFileSync(join(folder, 'printed', String(index)), 'utf8'),
      complained: readFileSync(join(folder, 'complained', String(index)), 'utf8'),
      files: readdirSync(join(folder, 'runs', String(index))),
    }))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
