/** Time that this process has worked, in milliseconds: what is slow because the machine has other work does not count. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
