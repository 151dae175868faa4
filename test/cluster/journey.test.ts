/** The whole thread on a real cluster: ssh in, sbatch, a runner on a worker, containers, and back. */
import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, it } from 'node:test'
import { load } from 'js-yaml'
import { list, root, until } from '../support/world.ts'
import { account, asAccount, asRoot, gate, images, Lab, type LabOptions, meetingPlace, theCluster } from './lab.ts'

const labs: Lab[] = []
function lab(options: LabOptions = {}): Lab {
  const made = new Lab(options)
  labs.push(made)
  return made
}

/**
 * One image that stands for three: each program prints its arguments, one a line, and writes its outputs from its input. Built by the
 * account, as its users do.
 */
async function containers(place: Lab): Promise<string> {
  const dir = join(place.folder, 'containers')
  const definition = `Bootstrap: localimage
From: ${join(images, 'busybox.sif')}
%runscript
  #!/bin/sh
  for word; do echo "$word"; done
  case $1 in
    --level=*) { echo "text of"; cat "$2"; } >"$3" && { printf '{"level": "%s"}\\n' "\${1#--level=}"; } >"$4" ;;
    /opt/amp/ampservice/main.py)
      for file in "$3"/*; do
        base=\${file##*/}; base=\${base%.*}
        for kind in pua.json txt amp.json; do { echo "$kind"; cat "$file"; } >"$5/$base.$kind"; done
      done ;;
    *) { echo segments; cat "$1"; } >"$2" ;;
  esac
`
  const built = await asAccount(
    ['/bin/sh', '-c', 'mkdir -p "$1" && cat >"$1/def" && cd "$1" && apptainer -s build one.sif def', 'sh', dir],
    { input: definition },
  )
  assert.equal(built.code, 0, built.stderr)
  for (const name of ['my_container', 'ina_segmentation', 'kaldi'])
    cpSync(join(dir, 'one.sif'), join(dir, `${name}.sif`))
  return dir
}

/** The example of the system this one follows, as it stands there. */
const seedTemplate = `#!/bin/bash
module load singularity
singularity run --nv --bind <<workspace>>:/mnt <<containers>>/my_container.sif --level=<<level>> /mnt/<<input>> /mnt/<<txt_output>> /mnt/<<json_output>>
`
const seedJob = (input: string, dir: string) => `script: sample
args:
  level: 6
input_map:
  input: ${input}
output_map:
  txt_output: ${dir}/foo.txt
  json_output: ${dir}/foo.json
`

theCluster('a real cluster, end to end', { concurrency: 3 }, () => {
  after(async () => {
    for (const each of labs) await each.end()
  })

  it('HB-37: the papers’ own job and template run as they stand, and give byte for byte what local + local gives', async () => {
    const place = lab({ lane: '{queue: dl, gres: "gpu:v100:1", memory: 32G, time: 8h}' })
    const dir = await containers(place)
    writeFileSync(
      place.configFile,
      place.config({ containers: dir, lane: '{queue: dl, gres: "gpu:v100:1", time: 8h}' }),
    )
    place.template('sample', seedTemplate)
    const sound = Buffer.from(Array.from({ length: 256 * 41 }, (_, at) => (at * 7) % 256))
    place.drop('foo', seedJob(place.input('foo.mp3', sound), join(place.dir, 'out')))
    assert.equal((await place.go()).code, 0)
    const result = place.finished('foo')
    assert.deepEqual(
      [result.job.status, result.job.message, result.job.rc, result.args.level, result.script],
      ['ok', 'processed OK', 0, 6, 'sample'],
      JSON.stringify(result.job),
    )
    assert.equal(result.job.stdout, '--level=6\n/mnt/foo.mp3\n/mnt/foo.txt\n/mnt/foo.json\n')
    for (const key of ['stderr', 'start', 'end']) assert.equal(typeof result.job[key], 'string', key)
    const outputs = (from: string) => ['foo.txt', 'foo.json'].map((name) => readFileSync(join(from, name)))
    const remote = outputs(join(place.dir, 'out'))
    assert.deepEqual(remote, [Buffer.concat([Buffer.from('text of\n'), sound]), Buffer.from('{"level": "6"}\n')])

    // the same job without ssh and Slurm, as the account itself: root may not start containers here
    const here = join(place.folder, 'here')
    const made = await asAccount([
      'mkdir',
      '-p',
      ...['dropbox', 'templates', 'in', 'out'].map((name) => join(here, name)),
    ])
    assert.equal(made.code, 0, made.stderr)
    for (const name of ['dist', 'on_hpc/scripts']) cpSync(join(root, name), join(here, name), { recursive: true })
    writeFileSync(join(here, 'templates/sample.template'), seedTemplate)
    writeFileSync(join(here, 'in/foo.mp3'), sound)
    const config = `{dropbox: ./dropbox, templates: ./templates, state: ./state, sites: {here: {transport: {type: local},
      scheduler: {type: local}, hpc_env: {workspace: ${here}/workspace, scripts: /opt/none, containers: ${dir}}}}}`
    writeFileSync(join(here, 'hpc-submitter.yml'), config)
    const dropped = await asAccount(['tee', join(here, 'dropbox/foo.job')], {
      input: `${seedJob(join(here, 'in/foo.mp3'), join(here, 'out'))}...\n`,
    })
    assert.equal(dropped.code, 0)
    const finished = join(here, 'dropbox/foo.job.finished')
    await until('the local result', async () => {
      const ran = await asAccount([
        process.execPath,
        join(here, 'dist/hpc-submitter.mjs'),
        'tick',
        '--config',
        join(here, 'hpc-submitter.yml'),
      ])
      assert.equal(ran.code, 0, ran.stderr)
      return existsSync(finished)
    })
    const local = load(readFileSync(finished, 'utf8')) as typeof result
    assert.deepEqual([local.job.status, local.job.stdout], ['ok', result.job.stdout], JSON.stringify(local.job))
    assert.deepEqual(outputs(join(here, 'out')), remote)
  })

  it('HB-36 HB-37: the shipped templates, flat or with input/ and output/, run their containers on a worker', async () => {
    const place = lab()
    writeFileSync(place.configFile, place.config({ containers: await containers(place) }))
    for (const name of ['ina_speech_segmenter', 'kaldi', 'singularity'])
      place.template(name, readFileSync(join(root, 'templates', `${name}.template`), 'utf8'))
    const input = place.input("a sound's.dat.mp3", 'sound')
    const paths = (map: Record<string, string>) =>
      JSON.stringify(Object.fromEntries(Object.entries(map).map(([key, name]) => [key, place.out(name)])))
    const head = (script: string) => `script: ${script}\ninput_map: {input: ${JSON.stringify(input)}}\n`
    place.drop('ina', `${head('ina_speech_segmenter')}output_map: ${paths({ segments: 's.json' })}\n`)
    place.drop(
      'kaldi',
      `${head('kaldi')}output_map: ${paths({ kaldi_json: 'k 1.json', kaldi_txt: 'k.txt', amp_json: 'amp.json' })}\n`,
    )
    place.drop(
      'flat',
      `${head('singularity')}args: {level: 014}\noutput_map: ${paths({ txt_output: 'o.txt', json_output: 'o.json' })}\n`,
    )
    assert.equal((await place.go()).code, 0)
    for (const name of ['ina', 'kaldi', 'flat'])
      assert.equal(place.finished(name).job.status, 'ok', JSON.stringify(place.finished(name).job))
    const read = (name: string) => readFileSync(place.out(name), 'utf8')
    assert.deepEqual(['s.json', 'k 1.json', 'k.txt', 'amp.json', 'o.txt', 'o.json'].map(read), [
      'segments\nsound',
      'pua.json\nsound',
      'txt\nsound',
      'amp.json\nsound',
      'text of\nsound',
      '{"level": "014"}\n',
    ])
  })

  it('HB-20 HB-17: the allocation has what the lane asks for, and --email reaches the scheduler', async () => {
    const place = lab({ lane: '{queue: dl, gres: "gpu:v100:1", memory: 32G, time: 8h}' })
    place.drop('a', 'script: "true"\n')
    assert.equal((await place.tick('--email', 'someone@localhost')).code, 0)
    const [{ id = '' } = {}] = await place.allocations()
    const shown = await asRoot('scontrol', 'show', 'job', id)
    for (const line of ['JobName=hpc_runner', 'TimeLimit=08:00:00', 'MinMemoryNode=32G', 'Partition=dl', 'Requeue=0'])
      assert.ok(shown.includes(line), `${line} in ${shown}`)
    assert.match(shown, /TresPerNode=gres[:/]gpu:v100:1/)
    assert.match(shown, /MailUser=someone@localhost/)
    assert.match(shown, /MailType=\S*(ALL|BEGIN,END,FAIL|INVALID_DEPEND)/)
    await place.finish('a')
    assert.equal(place.finished('a').job.status, 'ok')
  })

  it('HB-21: a workspace whose path holds blanks, quotes and what a shell or Slurm would expand', async () => {
    const place = lab({ folder: `lab it's 100%j $HOME ${process.pid}!` })
    place.dropCopy('a', place.input('a b.txt', 'content'))
    assert.equal((await place.go()).code, 0)
    assert.equal(place.finished('a').job.message, 'processed OK')
    assert.equal(readFileSync(place.out('a'), 'utf8'), 'content')
    assert.deepEqual(readdirSync(place.folder).sort(), ['bin', 'workspace'])
  })

  it('HB-33 HB-19 HB-23: fifty jobs and those that come while the runner runs share one allocation', async () => {
    const place = lab()
    const dir = gate(place)
    for (let n = 0; n < 50; n++) place.drop(`j${n}`, `script: gated\nargs: {n: ${n}}\n`)
    const first = await place.look()
    assert.deepEqual([first.accepted, first.sites[0].published, first.sites[0].lanes[0].action], [50, 50, 'submitted'])
    await place.allocation('RUNNING')
    await until('the first job to run', () => list(dir).length === 1)
    for (let n = 50; n < 55; n++) {
      place.drop(`j${n}`, `script: gated\nargs: {n: ${n}}\n`)
      const look = await place.look()
      assert.deepEqual([look.sites[0].published, look.sites[0].lanes[0].action], [1, 'none'])
      assert.equal((await place.live()).length, 1)
    }
    writeFileSync(join(dir, 'go'), '')
    await place.drained()
    await place.tick()
    const runners = new Set(Array.from({ length: 55 }, (_, n) => place.runnersOf(`j${n}`)).flat())
    assert.equal(runners.size, 1, [...runners].join(' '))
    assert.equal((await place.allocations()).length, 1)
    for (let n = 0; n < 55; n++) assert.equal(place.finished(`j${n}`).job.status, 'ok')
    assert.deepEqual(place.jobsLeft(), [])
  })

  it('HB-34 P-HB-19: two gateways on one workspace, passes side by side: each job runs once, never two at a time', async () => {
    const one = lab()
    const two = lab({ with: one })
    const dir = meetingPlace(one)
    const text = `#!/bin/sh
mkdir ${dir}/busy || echo clash >>${dir}/clash
echo ran >>${dir}/<<n>>
rmdir ${dir}/busy
`
    for (const place of [one, two]) place.template('count', text)
    let most = 0
    let over = false
    const watch = (async () => {
      const marker = join(one.workspace, '.hpc-workspace')
      // it is there a moment before it says anything
      await until('a workspace', () => existsSync(marker) && readFileSync(marker, 'utf8').endsWith('\n'))
      while (!over) {
        const working = (await one.live()).filter(({ state }) => state === 'RUNNING' || state === 'PENDING')
        most = Math.max(most, working.length)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    })()
    const passes = async (place: Lab, name: string, from: number, to: number) => {
      for (let n = from; n < to; n++) {
        place.drop(`${name}${n}`, `script: count\nargs: {n: ${name}${n}}\n`)
        const ran = await place.tick()
        assert.ok(ran.code === 0 || ran.code === 75, ran.stderr)
      }
    }
    await Promise.all([
      passes(one, 'a', 0, 10),
      passes(one, 'a', 10, 20),
      passes(two, 'b', 0, 10),
      passes(two, 'b', 10, 20),
    ])
    for (const [place, name] of [
      [one, 'a'],
      [two, 'b'],
    ] as const)
      for (let n = 0; n < 20; n++) await place.finish(`${name}${n}`)
    over = true
    await watch
    assert.ok(most >= 1)
    // one at work, and at most one more that was asked for while the first was closing
    assert.ok(most <= 2, `${most} allocations at once`)
    assert.ok(!existsSync(join(dir, 'clash')), 'two runners worked at the same time')
    for (let n = 0; n < 20; n++)
      for (const name of ['a', 'b']) assert.equal(readFileSync(join(dir, `${name}${n}`), 'utf8'), 'ran\n')
    assert.equal(list(one.dropbox).filter((name) => name.endsWith('.finished')).length, 20)
    assert.equal(list(two.dropbox).filter((name) => name.endsWith('.finished')).length, 20)
  })

  it('HB-39: a checkout on the cluster is used as it lies there, and its programs start by themselves', async () => {
    const place = lab()
    const tree = join(place.folder, 'hpc-batch/on_hpc')
    cpSync(join(root, 'on_hpc'), tree, { recursive: true })
    mkdirSync(join(tree, 'workspace'), { recursive: true })
    await asRoot('chown', '-R', `${account}:`, join(place.folder, 'hpc-batch'))
    writeFileSync(
      place.configFile,
      place.config({}).replaceAll(JSON.stringify(place.workspace), JSON.stringify(join(tree, 'workspace'))),
    )
    for (const name of ['hpc_queuer', 'hpc_runner']) {
      const ran = await asAccount([join(tree, 'scripts', name), '--help'])
      assert.equal(ran.code, 0, ran.stderr)
      assert.match(ran.stdout, /^hpc_(queuer|runner): /)
    }
    place.dropCopy('a', place.input('a.txt', 'content'))
    await place.finish('a')
    assert.equal(place.finished('a').job.status, 'ok')
    assert.ok(existsSync(join(tree, 'workspace/.hpc-workspace')))
  })
})
