/** Writes one value into its place: as it is where that is harmless, as a reference to a variable where it is not, or not at all. */
import { jointProblem, type Neighbours, unfinishedBefore } from './template-joints.ts'
import { renderReference } from './template-places.ts'
import type { Spot } from './template-reading.ts'
import { assignment, reservedWords } from './template-shell-words.ts'
import { isInteger, isPlain } from './template-values.ts'

/** The text for the items of a value, blanks between them; `bind` gives the name of the variable that holds a text. */
export function writeItems(items: readonly string[], spot: Spot, bind: (text: string) => string): string {
  const { quoting } = spot.place
  return items.map((item) => (isHarmless(item, spot) ? item : renderReference(quoting, bind(item)))).join(' ')
}

/** Whether the text means itself there without quotes of its own. */
function isHarmless(text: string, { site, place }: Spot): boolean {
  if (place.quoting !== 'bare' || place.inert) return text === '' || isPlain(text)
  const isKeyword = site.position === 'command' && site.word === '' && reservedWords.has(text)
  const isExpression = site.words.at(-1) === '=~' && /[.+]/.test(text)
  return isPlain(text) && !isKeyword && !isExpression
}

const openers = { backslash: '"\\"', dollar: '"$"', tilde: '"~"' }

/** Why a value of these items cannot be written there; undefined when it can. */
export function problemOf(items: readonly string[], { site, place }: Spot, around: Neighbours): string | undefined {
  const unfinished = unfinishedBefore(site, around.before)
  const allPlain = items.every(isPlain)
  if (unfinished === 'escape') return 'it would become part of the escape before it'
  if (place.takes === 'integer' && !(items.length === 1 && items.every(isInteger)))
    return `only a whole number may stand here: ${place.because}`
  if (place.takes === 'plain' && !allPlain && !(place.inert && items.every((item) => item === '' || isPlain(item))))
    return `only plain text may stand here: ${place.because}`
  if (unfinished !== undefined && unfinished !== 'name' && !(allPlain && items.length > 0))
    return `only plain text may stand after ${openers[unfinished]}, where no reference would be followed`
  const inCommand = site.enclosures.at(-1) === 'commands'
  if (inCommand && site.position !== 'argument' && items.length !== 1 && assignment.test(site.word))
    return 'a list cannot be assigned; put quotes or parentheses around it'
  if (inCommand && site.redirected && items.length !== 1) return 'a list cannot be the target of a redirection'
  return jointProblem(site, around, items)
}
