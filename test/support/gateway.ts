/** A real gateway on a folder of its own, with a clock that a test moves. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Gateway } from '../../submitter/gateway.ts'
import { defaultOptions, makeGateway, readConfig } from '../../submitter/make-gateway.ts'
import { silentLog } from '../../system/logger.ts'

export interface TestGateway {
  readonly gateway: Gateway
  readonly dir: string
  /** Another process on the same dropbox, whatever it differs in. */
  other(differs: Partial<Gateway>): Gateway
  /** Moves the forward-only clock. */
  pass(ms: number): void
  end(): void
}

export async function testGateway(more = ''): Promise<TestGateway> {
  const dir = mkdtempSync(join(tmpdir(), 'hpc-gateway-'))
  mkdirSync(join(dir, 'dropbox', '.hpc'), { recursive: true })
  mkdirSync(join(dir, 'templates'))
  mkdirSync(join(dir, 'state', 'sites'), { recursive: true })
  writeFileSync(join(dir, 'templates', 'true.template'), '#!/bin/sh\ntrue\n')
  const file = join(dir, 'config.yml')
  writeFileSync(
    file,
    `dropbox: ./dropbox\ntemplates: ./templates\nstate: ./state\nsites:\n  here:\n    transport: {type: local}\n    scheduler: {type: local}\n    hpc_env: {workspace: "${dir}/workspace"}\n${more}`,
  )
  const { config } = await readConfig(file)
  const real = makeGateway(config, defaultOptions, 'warn')
  let ms = 1_000_000
  const gateway: Gateway = {
    ...real,
    log: silentLog,
    clock: { ...real.clock, monotonicMs: () => ms, uptime: () => ({ bootId: real.self.bootId, ms }) },
  }
  return {
    gateway,
    dir,
    other: (differs) => ({ ...gateway, ...differs }),
    pass: (more) => {
      ms += more
    },
    end: () => rmSync(dir, { recursive: true, force: true }),
  }
}
