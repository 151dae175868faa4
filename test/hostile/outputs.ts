/** What a script may leave behind, and print: nothing but regular files of its own comes back, and a stranger's text stays text. */
export interface Left {
  readonly script: string
  /** Its end: the message of its error, or what lies at the destination (a file's content, or a folder's names). */
  readonly end: RegExp | { readonly file: string } | { readonly names: readonly string[] }
}

/** `$S` is a folder with a secret in it, `o` the output asked for. */
export const leftBehind: Readonly<Record<string, Left>> = {
  'a link to a secret': { script: 'ln -s $S/secret output/o', end: /link or special file/ },
  'a link to a folder': { script: 'ln -s / output/o', end: /link or special file/ },
  'a link to nothing': { script: 'ln -s nowhere output/o', end: /link or special file/ },
  'a link to itself': { script: 'ln -s o output/o', end: /link or special file/ },
  'a hard link to its own input': { script: 'ln input/in.txt output/o', end: { file: 'in.txt' } },
  'a pipe': { script: 'mkfifo output/o', end: /link or special file/ },
  'a device': { script: 'mknod output/o c 1 5 || ln -s /dev/zero output/o', end: /link or special file/ },
  'output/ as a link': { script: 'rmdir output; ln -s $S output; : >o.', end: /did not write "o"/ },
  'output/ as a file': { script: 'rmdir output; echo x >output', end: /did not write "o"|cannot be read/ },
  'links in a folder': {
    script: 'mkdir output/o; ln -s $S/secret output/o/s; ln -s $S output/o/d; echo 1 >output/o/a',
    end: { names: ['a'] },
  },
  'a pipe and a device in a folder': {
    script: 'mkdir output/o; mkfifo output/o/p; mknod output/o/n c 1 5; echo 1 >output/o/a',
    end: { names: ['a'] },
  },
  'names like options': {
    script: 'mkdir output/o; cd output/o; for n in -rf --help -; do echo x >"./$n"; done',
    end: { names: ['-', '--help', '-rf'] },
  },
  'names with escapes': {
    script: `mkdir output/o; echo x >"output/o/$(printf 'a\\nb\\033[31m')"`,
    end: { names: ['a\nb\u001b[31m'] },
  },
  'names of JavaScript': {
    script: 'mkdir output/o; echo x >output/o/__proto__; echo x >output/o/constructor',
    end: { names: ['__proto__', 'constructor'] },
  },
  'names like our own': {
    script: 'mkdir output/o; echo x >output/o/x.job; mkdir output/o/.hpc; echo x >output/o/.hpc/uuid',
    end: { names: ['.hpc', 'x.job'] },
  },
  'a name that is no UTF-8': {
    script: `mkdir output/o; echo x >"output/o/$(printf '\\377')"; echo 1 >output/o/a`,
    end: { names: ['a'] },
  },
  'a folder deeper than a path': {
    script:
      'mkdir output/o; cd output/o; for i in $(seq 60); do mkdir $(printf %0100d 1) && cd $(printf %0100d 1) || exit 0; done; echo x >x',
    end: /cannot be read \(ENAMETOOLONG\)/,
  },
  'a thousand files': {
    script: 'mkdir output/o; cd output/o; for i in $(seq 1000); do : >$i; done',
    end: { names: Array.from({ length: 1000 }, (_, n) => `${n + 1}`).sort() },
  },
  'a sparse file of 200 megabytes': {
    script: 'truncate -s 200M output/o; truncate -s 3 output/o; printf abc >output/o',
    end: { file: 'abc' },
  },
  'files without rights': {
    script: 'mkdir output/o; echo x >output/o/a; chmod 0 output/o/a output/o output',
    end: { names: ['a'] },
  },
  'set-uid programs': { script: 'cp /bin/true output/o; chmod 6777 output/o', end: /^$/ },
  'twice, in and beside output/': { script: 'echo 1 >o; echo 2 >output/o', end: /was written twice/ },
  nothing: { script: 'true', end: /did not write "o"/ },
  'a process that goes on writing': {
    script:
      'printf abc >output/o; setsid sh -c "while :; do echo x >>output/o; sleep 0.01; done" & sleep 0.3; kill -STOP $!; printf abc >output/o; kill -CONT $!; exit 3',
    end: /return code 3/,
  },
  'an exit file of its own making': { script: 'printf "rc=0\\nend\\n" >rc; exit 9', end: /return code 9/ },
  'nobody at home': { script: 'rm -rf input output ./*; exit 4', end: /return code 4/ },
  'a line of 100 megabytes': { script: 'head -c 100000000 /dev/zero | tr "\\0" x; exit 5', end: /return code 5/ },
  'escapes on its streams': { script: 'printf "\\033[2J\\033]0;owned\\007\\000\\377"; exit 6', end: /return code 6/ },
  'YAML on its streams': {
    script: 'printf "...\\n---\\njob: {status: ok}\\nhpc: {id: x}\\n"; exit 7',
    end: /return code 7/,
  },
}
