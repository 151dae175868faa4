/**
 * Stands between submitter and hpc_queuer on the login node and stops the conversation at one frame: it tells that it is there (a file),
 * and lets nothing through any more until the connection goes. Started by the lab's `node` (`labWithGate`) as
 * `gate.cjs RULE-FILE NODE HPC_QUEUER …`.
 */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { type Answer, encodeFrame, FrameReader, type Request, readyMark } from '../../contract/protocol.ts'

export interface GateRule {
  readonly type: Request['type'] | Answer['type']
  /** The frame does not pass at all, or its first half does; or all passes when the file `open` is there. */
  readonly passes: 'nothing' | 'half' | 'later'
  /** Of the pieces of files: only those from this offset on. */
  readonly fromOffset?: number
  /** Written when the frame is there. */
  readonly at: string
  readonly open: string
}

type Header = Request | Answer

function offsetOf(header: Header): number {
  return 'offset' in header ? header.offset : 0
}

function main(ruleFile: string, node: string, args: readonly string[]): void {
  const rule: GateRule = JSON.parse(readFileSync(ruleFile, 'utf8'))
  const queuer = spawn(node, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  let shut = false
  let passed = false
  const through = (to: NodeJS.WritableStream, header: Header, body: Uint8Array) => {
    if (shut) return
    const frame = encodeFrame(header, body)
    shut = !passed && header.type === rule.type && offsetOf(header) >= (rule.fromOffset ?? 0)
    if (!shut) to.write(frame)
    else if (rule.passes === 'half') to.write(frame.subarray(0, frame.length >> 1))
    if (!shut) return
    writeFileSync(rule.at, '')
    if (rule.passes !== 'later') return
    // nothing else runs meanwhile, so nothing overtakes
    while (!existsSync(rule.open)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
    shut = false
    passed = true
    to.write(frame)
  }
  const requests = new FrameReader<Request>()
  process.stdin.on('data', (chunk: Buffer) => {
    for (const { header, body } of requests.push(chunk)) through(queuer.stdin, header, body)
  })
  process.stdin.on('end', () => queuer.stdin.end())
  let greeting: Buffer | undefined = Buffer.alloc(0)
  const answers = new FrameReader<Answer>()
  queuer.stdout.on('data', (chunk: Buffer) => {
    let rest = chunk
    if (greeting !== undefined) {
      greeting = Buffer.concat([greeting, chunk])
      const end = greeting.indexOf(readyMark)
      if (end < 0) return
      process.stdout.write(greeting.subarray(0, end + readyMark.length))
      rest = greeting.subarray(end + readyMark.length)
      greeting = undefined
    }
    for (const { header, body } of answers.push(rest)) through(process.stdout, header, body)
  })
  for (const stream of [process.stdin, process.stdout, queuer.stdin]) stream.on('error', () => undefined)
  // what says that the site lacks something is no greeting, and passes when it has ended
  queuer.on('close', (code) => {
    if (greeting !== undefined) process.stdout.write(greeting)
    process.exitCode = code ?? 1
    process.stdin.destroy()
  })
}

const [, , ruleFile = '', node = '', ...args] = process.argv
main(ruleFile, node, args)
