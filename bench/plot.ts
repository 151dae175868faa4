/** A plot of rows as SVG: for each a bar of ours, of the peer and of the limit, on one scale that begins at zero, with the spread of its turns. */
import { figure, isRate, type Row, type Sample } from './measure.ts'

const width = 760
const left = 12
const barsAt = 250
const barsEnd = 620
const barHeight = 14
const rowGap = 18
const colours = { ours: '#0072b2', peer: '#999999', limit: '#e69f00' } as const

interface Bar {
  readonly colour: string
  readonly name: string
  readonly sample: Sample
}

function barsOf(row: Row): Bar[] {
  const { ours, peer, peerName, limit, limitName } = row
  return [
    { colour: colours.ours, name: 'ours', sample: ours },
    { colour: colours.peer, name: peerName, sample: peer },
    ...(limit === undefined ? [] : [{ colour: colours.limit, name: limitName ?? 'limit', sample: limit }]),
  ]
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function shortened(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`
}

export function plotOf(title: string, rows: readonly Row[]): string {
  const parts: string[] = []
  let y = 44
  const text = (x: number, at: number, content: string, more = '') =>
    parts.push(`<text x="${x}" y="${at}"${more}>${escaped(content)}</text>`)
  text(left, 22, title, ' font-size="15" font-weight="bold"')
  for (const row of rows) {
    const better = isRate(row.unit) ? 'more is better' : 'less is better'
    text(left, y, `${row.work} (${row.unit}, ${better})`, ' font-weight="bold"')
    y += 6
    const bars = barsOf(row)
    const most = Math.max(...bars.map(({ sample }) => sample.high))
    const at = (value: number) => barsAt + ((barsEnd - barsAt) * value) / most
    for (const { colour, name, sample } of bars) {
      const middle = y + barHeight / 2
      text(left, y + barHeight - 3, shortened(name, 40))
      parts.push(
        `<rect x="${barsAt}" y="${y + 1}" width="${Math.max(1, at(sample.median) - barsAt).toFixed(1)}" height="${barHeight - 2}" fill="${colour}"/>`,
        `<path d="M${at(sample.low).toFixed(1)} ${middle}H${at(sample.high).toFixed(1)}" stroke="#000" stroke-width="1.5"/>`,
      )
      text(barsEnd + 8, y + barHeight - 3, figure(sample.median))
      y += barHeight
    }
    y += rowGap
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" viewBox="0 0 ${width} ${y}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#fff"/>
${parts.join('\n')}
</svg>
`
}
