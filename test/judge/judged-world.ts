/** The judge at work on a gateway and a site in real folders. */
import { join } from 'node:path'
import type { World } from '../support/world.ts'
import type { Evidence, Job } from './evidence.ts'
import { judge } from './judge.ts'
import { realView } from './real-view.ts'

/** What one world shows at its end; `more` adds the logs that the story kept, or puts other folders in place. */
export function evidenceOf(
  world: Pick<World, 'dir' | 'dropbox' | 'workspace'>,
  jobs: readonly Job[],
  more: Partial<Evidence> = {},
): Evidence {
  return {
    view: realView,
    jobs,
    gateways: [{ dropbox: world.dropbox, state: join(world.dir, 'state'), destinations: [join(world.dir, 'out')] }],
    workspaces: [world.workspace],
    ...more,
  }
}

export function judgeWorld(...args: Parameters<typeof evidenceOf>): readonly string[] {
  return judge(evidenceOf(...args))
}
