/** `tick` from its options: what cron starts every minute. */
import { openGateway, optionsOf, type PassFlags } from './open-gateway.ts'
import { tickCommand } from './tick-command.ts'

export interface TickArgs extends PassFlags {
  config_file?: string | undefined
  json?: boolean | undefined
}

export async function tickWith(args: TickArgs): Promise<number> {
  const { gateway, loaded } = await openGateway({ ...args, config: args.config ?? args.config_file }, optionsOf(args))
  return tickCommand(gateway, loaded.warnings, args.json === true)
}
