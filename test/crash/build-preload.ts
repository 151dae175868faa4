/** What a run needs beside the built programs: the preload as one file that `node --require` takes, and strace where it is. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { build } from 'esbuild'

export async function buildPreload(dir: string): Promise<string> {
  const outfile = join(dir, 'preload.cjs')
  const entryPoints = [join(import.meta.dirname, 'preload.ts')]
  const how = { bundle: true, platform: 'node', format: 'cjs', target: 'node20', logLevel: 'error' } as const
  await build({ entryPoints, outfile, ...how })
  return outfile
}

/** Whether strace is installed, and may trace here. */
export function canTrace(): boolean {
  return spawnSync('strace', ['-f', '-o', '/dev/null', 'true']).status === 0
}
