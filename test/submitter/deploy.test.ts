import assert from 'node:assert/strict'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { deployCommand } from '../../submitter/deploy-command.ts'
import type { Gateway } from '../../submitter/gateway.ts'
import { realClock } from '../../system/clock.ts'
import { testGateway } from '../support/gateway.ts'

const here = await testGateway()
after(() => here.end())

test('P-GW-08: deploy gives up a site that says nothing, as a pass does', async () => {
  const hangs = join(here.dir, 'hangs')
  writeFileSync(hangs, '#!/bin/sh\nexec sleep 600\n')
  chmodSync(hangs, 0o755)
  const { config } = here.gateway
  const site = config.sites.here ?? assert.fail()
  const asked: number[] = []
  const gateway: Gateway = {
    ...here.gateway,
    config: { ...config, sites: { here: { ...site, node: hangs } } },
    // three minutes pass in a moment; what would have waited for longer is seen
    clock: {
      ...here.gateway.clock,
      within: (ms, promise) => {
        asked.push(ms)
        return realClock.within(ms / 1000, promise)
      },
    },
  }
  await assert.rejects(
    deployCommand(gateway, [], undefined),
    /Cannot start hpc_queuer at site "here": it has said nothing for 180 s/,
  )
  writeFileSync(join(here.dir, 'node'), '#!/bin/sh\nexec sleep 600\n')
  await assert.rejects(
    deployCommand(gateway, [], join(here.dir, 'node')),
    /Cannot try the new Node at site "here": it has said nothing for 180 s/,
  )
  assert.ok(asked.every((ms) => ms === 180_000))
})
