/** What a failed sbatch means: certainly refused, for good or for now, or perhaps taken. */
import type { Submission } from './scheduler.ts'

/**
 * After a failed sbatch the job may exist all the same: with the controller hung, 22.05.8 said "Socket timed out" and the job ran later.
 * The controller's own refusals, and errors sbatch finds before it calls, leave nothing behind; each row says whether only a change of
 * config can help. What is not listed is ambiguous.
 */
export const refusals: readonly (readonly [RegExp, 'permanent' | 'passing'])[] = [
  // The controller's answers (slurm_errno.c), after "Batch job submission failed: ".
  [/Invalid partition name specified|No partition specified or system default partition/i, 'permanent'],
  [/Requested node configuration is not available/i, 'permanent'],
  [/Invalid account or account\/partition combination|Invalid qos specification|Invalid wckey/i, 'permanent'],
  [
    /Invalid generic resource \(gres\) specification|Invalid GRES specification|Duplicate generic resource/i,
    'permanent',
  ],
  [/Invalid (feature|license|Trackable RESource|nice|job array) ?/i, 'permanent'],
  [/Memory (required by task|specification)|(Node|CPU|Task) count specification invalid/i, 'permanent'],
  [/More processors requested than permitted|Requested nodes not in this partition|Invalid node name/i, 'permanent'],
  [/Requested time limit is invalid|Invalid time specified|Invalid time limit/i, 'permanent'],
  [/User's group not permitted to use this partition|Access\/permission denied/i, 'permanent'],
  [/Requested reservation is invalid|Access denied to requested reservation/i, 'permanent'],
  [/Job size specification needs to be provided|Job dependency problem|Pathname .* too long/i, 'permanent'],
  [/Required partition not available \(inactive or drain\)|Partition in DOWN state/i, 'passing'],
  [/Requested partition configuration not available now|Required node not available/i, 'passing'],
  [/Job violates accounting\/QOS policy|Requested account has breached|QOSMaxSubmitJob|AssocMaxSubmitJob/i, 'passing'],
  [/MaxJobCount limit reached|Slurm job queue full|System submissions disabled|presently disabled/i, 'passing'],
  [/Rate limit exceeded|Licenses currently unavailable|Requested reservation (not usable|is in use)/i, 'passing'],
  [/I\/O error writing script\/environment to file|Error generating job credential/i, 'passing'],
  // Found by sbatch itself before it calls the controller.
  [/does not look like a batch script|Batch script contains DOS line breaks|Batch script is empty/i, 'permanent'],
  [/unrecognized option|invalid option|requires an argument|option .* is ambiguous|mutually exclusive/i, 'permanent'],
  [/sbatch: (error|fatal): (Invalid|Bad|Unknown|Unable to parse) /i, 'permanent'],
  [/Script arguments (are )?not permitted/i, 'permanent'],
  [/Unable to open file|Could not establish a configuration source|unable to process configuration/i, 'passing'],
  // slurm_send_recv_controller_msg: this one error means that no connection was ever made, so nothing was sent.
  [/Unable to contact slurm controller \(connect failure\)/i, 'passing'],
]

/** Words of trouble on the way. One of them anywhere, and the request may have arrived. Munge can fail on the reply as well as the request. */
export const onTheWay =
  /timed out|(send|receive|shutdown) failure|Zero Bytes|munge|authentication error|Unexpected message|retrying|Connection (reset|closed|refused)|communication/i

export function verdictOn(stderr: string, why: string): Submission {
  if (onTheWay.test(stderr)) return { outcome: 'ambiguous', why }
  const failed = /Batch job submission failed: (.*)/.exec(stderr)?.[1]
  const row = refusals.find(([pattern]) => pattern.test(failed ?? stderr))
  if (row === undefined) return { outcome: 'ambiguous', why }
  return { outcome: 'refused', why, permanent: row[1] === 'permanent' }
}
