/** From the options every command has to a gateway. */
import type { Options } from './gateway.ts'
import { makeGateway, readConfig } from './make-gateway.ts'
import { progressTeller } from './progress.ts'

export interface Common {
  config?: string | undefined
  debug?: boolean | undefined
}

export interface PassFlags extends Common {
  nocleanup?: boolean | undefined
  email?: string | undefined
  takeover?: boolean | undefined
}

export function optionsOf(args: PassFlags): Options {
  return {
    noCleanup: args.nocleanup === true,
    email: args.email,
    debug: args.debug === true,
    takeOver: args.takeover === true,
  }
}

/** The gateway of a command; `quiet` commands tell only what is wrong. */
export async function openGateway(args: Common, options = optionsOf(args), level: 'info' | 'warn' = 'warn') {
  const loaded = await readConfig(args.config)
  const shown = args.debug === true ? 'debug' : level
  let log: (line: string) => void = () => undefined
  const progress = progressTeller(
    process.stderr,
    (text) => log(text),
    () => performance.now(),
  )
  const gateway = makeGateway(loaded.config, options, shown, progress)
  log = (text) => gateway.log.info(text)
  return { gateway, loaded }
}
