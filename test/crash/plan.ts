/** What a run of the built programs is to suffer: told by the story to the preload in each program, through a file named in the environment. */

export const planVariable = 'HPC_BATCH_CRASH_PLAN'

export const programs = ['submitter', 'queuer', 'runner', 'launcher'] as const
/** The three programs, and the shell that starts scripts. */
export type Program = (typeof programs)[number]

/** Right before an effect, in the middle of its bytes, or right after it. */
export type When = 'before' | 'half' | 'after'

/** One change of the world outside the process. `create` is an open that may make a file. */
export type Kind =
  | ('create' | 'rename' | 'unlink' | 'mkdir' | 'rmdir' | 'symlink' | 'chmod' | 'chown' | 'utimes')
  | ('write' | 'truncate' | 'sync' | 'copy')
  | ('exec' | 'transfer')

export interface Effect {
  readonly kind: Kind
  readonly path: string
  /** It has bytes, so it can be stopped in their middle. */
  readonly halves: boolean
}

export type Strike =
  /** The program dies at its effect number `at`. */
  | { readonly what: 'death'; readonly program: Program; readonly at: number; readonly when: When }
  /** Answer number `at` of hpc_queuer does not reach the submitter: the connection breaks when the request was carried out. */
  | { readonly what: 'answer'; readonly program: 'submitter'; readonly at: number }
  /** The scheduler carries out command number `at`, and its reply is lost. */
  | { readonly what: 'reply'; readonly program: 'queuer'; readonly at: number }

export interface Plan {
  /** Only what lies in here counts. */
  readonly root: string
  /** How far the clock since boot of gateway and login node is ahead of this machine's: a world restored later is no older. */
  readonly aheadMs: number
  /** Each program writes its effects here, as they come. */
  readonly log: string
  /** A line for each answer that reached the submitter. */
  readonly answers: string
  /** The first launcher of scripts is run from this file instead. */
  readonly launcher?: string
  /** Written when the strike has come, with what it struck. */
  readonly struck: string
  /** Allocations end before their runner has done anything. */
  readonly hold: boolean
  readonly strike?: Strike | undefined
}
