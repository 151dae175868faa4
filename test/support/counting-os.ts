/** The real file system, counting its calls by name: what a step costs a file system, told without a clock. */
import { type Os, realOs } from '../../system/os.ts'

export function countingOs(): { readonly os: Os; readonly calls: Record<string, number> } {
  const calls: Record<string, number> = {}
  const os = new Proxy(realOs, {
    get(target, name) {
      const call = Reflect.get(target, name)
      if (typeof call !== 'function' || typeof name !== 'string') return call
      return (...args: unknown[]) => {
        calls[name] = (calls[name] ?? 0) + 1
        return Reflect.apply(call, target, args)
      }
    },
  })
  return { os, calls }
}

/** Calls a job, from so many of them: what is done once for all counts little, a call more for each counts whole. */
export function perJob(calls: Readonly<Record<string, number>>, jobs: number): Record<string, number> {
  return Object.fromEntries(Object.entries(calls).map(([name, count]) => [name, Math.round((count / jobs) * 10) / 10]))
}
