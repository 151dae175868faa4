/** The bundled programs that run on the other side, and the folder name they get there: by version and digest. */
import { join } from 'node:path'
import { HpcError } from '../contract/errors.ts'
import { sha256 } from '../system/digest.ts'
import type { Files } from '../system/files.ts'

export interface Programs {
  /** `<version>-<digest>`: another build never replaces files that a queued allocation names. */
  readonly folder: string
  readonly queuerDigest: string
  readonly runnerDigest: string
  readonly files: readonly { readonly name: string; readonly path: string; readonly mode: number }[]
}

export function readPrograms(files: Files, packageDir: string, version: string): Programs {
  const scripts = join(packageDir, 'on_hpc', 'scripts')
  const digest = (name: string) => {
    const bytes = files.read(join(scripts, name))
    if (bytes === undefined) {
      throw new HpcError('config', `Cannot find ${join(scripts, name)}`, {
        hint: 'build it: npm run build (a package from npm brings it along)',
      })
    }
    return sha256(bytes)
  }
  const queuerDigest = digest('hpc_queuer')
  const runnerDigest = digest('hpc_runner')
  return {
    folder: `${version}-${sha256(`${queuerDigest} ${runnerDigest}`).slice(0, 16)}`,
    queuerDigest,
    runnerDigest,
    files: [
      // without extension a file is what the nearest package.json says: this one says CommonJS
      { name: 'package.json', path: join(scripts, 'package.json'), mode: 0o600 },
      { name: 'hpc_runner', path: join(scripts, 'hpc_runner'), mode: 0o700 },
      { name: 'hpc_queuer', path: join(scripts, 'hpc_queuer'), mode: 0o700 },
    ],
  }
}
