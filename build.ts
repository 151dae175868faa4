/** Bundles the three programs: two single files for the other side, and the submitter as a small start with parts loaded when needed. */
import { chmodSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const root = import.meta.dirname
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
const define = { 'process.env.HPC_BATCH_VERSION': JSON.stringify(version) }

for (const [entry, outfile] of [
  ['queuer/main.ts', 'on_hpc/scripts/hpc_queuer'],
  ['runner/main.ts', 'on_hpc/scripts/hpc_runner'],
] as const) {
  await build({
    entryPoints: [join(root, entry)],
    outfile: join(root, outfile),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node18',
    minifySyntax: true,
    legalComments: 'none',
    banner: { js: '#!/usr/bin/env node' },
    define,
    logLevel: 'warning',
  })
  chmodSync(join(root, outfile), 0o755)
}

rmSync(join(root, 'dist'), { recursive: true, force: true })
await build({
  entryPoints: { 'hpc-submitter': join(root, 'submitter/main.ts') },
  outdir: join(root, 'dist'),
  outExtension: { '.js': '.mjs' },
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  legalComments: 'none',
  // ssh2's native crypto stays a file beside the bundle; cpu-features is optional and only changes the order of ciphers we do not use
  external: ['cpu-features'],
  loader: { '.node': 'copy' },
  // a global, not a declaration: modules inside the bundle may declare names of their own
  banner: {
    js: "#!/usr/bin/env node\nimport { createRequire as __createRequire } from 'node:module'; globalThis.require ??= __createRequire(import.meta.url);",
  },
  define: { ...define, __dirname: 'import.meta.dirname', __filename: 'import.meta.filename' },
  logLevel: 'warning',
})
chmodSync(join(root, 'dist/hpc-submitter.mjs'), 0o755)
