/** Every parser of the product, one target each. */
import type { Target } from '../target.ts'
import { configIni, configYaml, knownHosts, sshConfig } from './configs.ts'
import { description, result, spliced } from './descriptions.ts'
import { collected } from './results.ts'
import { localQueue, otherAnswers, slurmQueue, submission } from './schedulers.ts'
import { exitFile, names, stream, units } from './small.ts'
import { shell, template } from './templates.ts'
import { conversation, frames, greeting, records } from './wire.ts'

export const targets: readonly Target[] = [
  description,
  result,
  spliced,
  template,
  shell,
  configYaml,
  configIni,
  sshConfig,
  knownHosts,
  slurmQueue,
  localQueue,
  submission,
  otherAnswers,
  frames,
  greeting,
  records,
  conversation,
  collected,
  exitFile,
  stream,
  names,
  units,
]
