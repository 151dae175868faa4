/** One login alias, several login nodes: each has its own host name, boot id and processes, all share workspace and scheduler. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, it } from 'node:test'
import { type CuttingProxy, startCuttingProxy } from '../support/cutting-proxy.ts'
import { Told } from './faulty-lab.ts'
import { Lab, theCluster } from './lab.ts'
import { type LoginNode, sshThrough, startLoginNode } from './login-node.ts'

const MiB = 1024 * 1024

theCluster('a login alias that lands on another node each time', {}, () => {
  let place: Lab
  let proxy: CuttingProxy
  const nodes: LoginNode[] = []
  before(async () => {
    let connections = 0
    proxy = await startCuttingProxy(() => nodes[connections++ % nodes.length]?.port ?? 0)
    place = new Lab({ transport: sshThrough(proxy.port) })
    for (const name of ['login1', 'login2', 'login3']) nodes.push(await startLoginNode(name, place.dir))
  })
  after(async () => {
    await place.end()
    await proxy.stop()
    for (const node of nodes) await node.stop()
  })

  it('P-HB-19: uploads go on at another node, each job runs once, one runner serves them all, and results come home by any node', async () => {
    const told = new Told(place)
    const hosts: string[] = []
    const pass = async (code: number) => {
      const ran = await place.tick('--debug')
      assert.equal(ran.code, code, ran.stderr)
      hosts.push(...[...ran.stderr.matchAll(/pass \d+ on (\S+) with/g)].map(([, host = '']) => host))
    }
    told.drop('first', 'first', { waits: true })
    await pass(0)
    await told.started('first')
    told.drop('large', randomBytes(4.5 * MiB).toString('hex'))
    proxy.cutAfter('up', 4 * MiB)
    await pass(75)
    await pass(0)
    for (const n of ['b', 'c']) {
      told.drop(n)
      await pass(0)
    }
    assert.equal((await place.allocations()).length, 1, 'each node asked for a runner of its own')
    told.go()
    for (const n of told.jobs.keys()) await place.finish(n)
    assert.deepEqual(new Set(hosts), new Set(['login1', 'login2', 'login3']))
    for (const n of told.jobs.keys()) assert.equal(told.starts(n).length, 1, n)
    assert.equal(place.runnerIds().length, 1)
    await told.judge()
  })
})
