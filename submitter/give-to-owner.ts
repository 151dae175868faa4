/**
 * A result is its owner's, where we may give it to him. It can be given only after the rename that delivers it: until then nobody but us may
 * write it. A note stands in between, so that a pass that dies there leaves no result that its owner may not remove.
 */
import { join } from 'node:path'
import { O_NOFOLLOW, O_RDONLY } from '../system/os.ts'
import { jobFile } from './dropbox.ts'
import { type Gateway, statePaths } from './gateway.ts'
import { type HpcNode, readSubmitted } from './submitted-file.ts'

function isToBeGiven(gateway: Gateway, hpc: HpcNode): boolean {
  return gateway.uid === 0 && hpc.owner.uid !== 0
}

function notePath(gateway: Gateway, id: string): string {
  return join(statePaths(gateway.config.state).giving, id)
}

/** Right before the rename. It need not outlive the machine's power: then the result may be root's, and is readable all the same. */
export function noteGiving(gateway: Gateway, hpc: HpcNode): void {
  if (!isToBeGiven(gateway, hpc)) return
  gateway.files.makeFolder(statePaths(gateway.config.state).giving)
  gateway.files.replace(notePath(gateway, hpc.id), `${JSON.stringify({ name: hpc.name })}\n`)
}

export function forgetGiving(gateway: Gateway, hpc: HpcNode): void {
  if (isToBeGiven(gateway, hpc)) gateway.files.remove(notePath(gateway, hpc.id))
}

/** Safe to repeat, for a pass that died right before it. */
export function giveToOwner(gateway: Gateway, hpc: HpcNode): void {
  if (!isToBeGiven(gateway, hpc)) return
  const { files } = gateway
  const fd = files.os.openSync(jobFile(gateway, hpc.name).finished, O_RDONLY | O_NOFOLLOW)
  try {
    // what is not ours any more was given before, or was put there by somebody
    const { uid, nlink } = files.os.fstatSync(fd)
    if (uid === 0 && nlink === 1) files.os.fchownSync(fd, hpc.owner.uid, hpc.owner.gid)
  } finally {
    files.os.closeSync(fd)
  }
}

/** Results a pass left ungiven; under the accept lock. */
function namesToGive({ files, config }: Gateway): string[] {
  return files.list(statePaths(config.state).giving)
}

export function giveWhatWasLeft(gateway: Gateway): void {
  for (const id of namesToGive(gateway)) {
    const path = notePath(gateway, id)
    const note = gateway.files.readJson<{ name: string }>(path)
    const found = note === undefined ? undefined : readSubmitted(gateway, note.name, 'finished')
    if (found !== undefined && found !== 'raw' && found.hpc.id === id) giveToOwner(gateway, found.hpc)
    // a pass between its note and its rename still needs the note
    else if (note !== undefined && gateway.files.exists(jobFile(gateway, note.name).submitted)) continue
    gateway.files.remove(path)
  }
}
