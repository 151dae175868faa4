/** Nothing left at the site, beside a destination, in the dropbox or in the state folder; no lock held. */
import { posix } from 'node:path'
import type { Evidence, Gateway } from './evidence.ts'

/** Names that a death leaves between two calls, empty, where they harm nobody and are swept some day. */
const temporary = /^\.[0-9a-f]{12}\.\d+$/

export function judgeLeavings(evidence: Evidence): readonly string[] {
  return [
    ...evidence.workspaces.flatMap((workspace) => judgeWorkspace(evidence, workspace)),
    ...evidence.gateways.flatMap((gateway) => judgeGateway(evidence, gateway)),
  ]
}

function judgeWorkspace({ view }: Evidence, workspace: string): readonly string[] {
  const flat = ['jobs', 'control', 'staging', '.trash'].flatMap((folder) =>
    left(`at the site in ${folder}`, view.names(`${workspace}/${folder}`)),
  )
  const keyed = ['queue', 'running', 'done'].flatMap((folder) =>
    view.names(`${workspace}/${folder}`).flatMap((dir) => {
      const names = view.names(`${workspace}/${folder}/${dir}`)
      return left(
        `at the site in ${folder}/${dir}`,
        names.filter((name) => !temporary.test(name)),
      )
    }),
  )
  return [...flat, ...keyed]
}

function judgeGateway({ view, jobs }: Evidence, gateway: Gateway): readonly string[] {
  const { dropbox, state, destinations, foreign = [] } = gateway
  const mine = jobs.filter((job) => job.dropbox === dropbox)
  const ends = mine.flatMap((job) => job.ends).flatMap(({ outputs }) => Object.keys(outputs))
  const results = new Set(['.hpc', ...foreign, ...mine.map(({ name }) => `${name}.job.finished`)])
  return [
    ...destinations.flatMap((dir) =>
      left(
        `beside the destinations in ${dir}`,
        view
          .names(dir)
          .filter((name) => !ends.some((path) => path === `${dir}/${name}` || inside(path, `${dir}/${name}`))),
      ),
    ),
    ...left(
      `in the dropbox ${dropbox}`,
      view.names(dropbox).filter((name) => !results.has(name) && !temporary.test(name)),
    ),
    ...view
      .names(`${dropbox}/.hpc`)
      .filter((name) => name.endsWith('.lock'))
      .map((name) => `locked for ever in ${dropbox}: ${name}`),
    ...(state === undefined ? [] : left('reserved in the state folder', view.names(`${state}/reserved`))),
  ]
}

function inside(path: string, dir: string): boolean {
  return !posix.relative(dir, path).startsWith('..')
}

function left(where: string, names: readonly string[]): readonly string[] {
  return names.length === 0 ? [] : [`left ${where}: ${names.join(' ')}`]
}
