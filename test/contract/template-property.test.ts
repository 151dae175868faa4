/** Any text in any place: it arrives byte for byte, or it is refused. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { HpcError } from '../../contract/errors.ts'
import { argEnvironment } from '../../contract/template.ts'
import { isPlain } from '../../contract/template-values.ts'
import { placeVectors } from './vectors/places.ts'
import { runScripts } from './vectors/run-scripts.ts'
import { bound, hostile, render, type Vector } from './vectors/vector.ts'

/** Text made of what shells treat specially, of words they know, and of anything else. */
const token = fc.oneof(
  fc.constantFrom(...`'"\\$\`()[]{}<>|&;#~*?!=%^:,.- \n\t\r\u0001\u007f`),
  fc.constantFrom(
    '$(touch pwned)',
    '`touch pwned`',
    "'; touch pwned; '",
    '"; touch pwned; "',
    '\nE1\n',
    '<<x>>',
    '{{x}}',
    '$&',
  ),
  fc.constantFrom('EOF', 'E1', 'esac', 'fi', 'a', '1', '_v1', '-n', '${HOME}', 'x[$(touch pwned)]', '\\1', 'é', '😀'),
)
const text = fc
  .oneof(
    fc.array(token, { maxLength: 12 }).map((tokens) => tokens.join('')),
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.stringMatching(/^[A-Za-z0-9_@%+=:,./-]{1,8}$/),
  )
  .filter((value) => !/[\0⟦⟧]/.test(value))

/** A piece of a word, and what it is worth when `<<x>>` is `value`. */
interface Word {
  readonly written: string
  readonly worth: (value: string) => string
}

/** Ways to write a word around a word. Each ends what `$(…)` prints with a dot, because `$(…)` drops newlines at the end. */
const wraps: readonly ((inner: Word, depth: number) => Word)[] = [
  ({ written, worth }) => ({ written: `a"b"${written}'c'`, worth: (value) => `ab${worth(value)}c` }),
  ({ written, worth }) => ({ written: `"$(printf '%s.' ${written})"`, worth: (value) => `${worth(value)}.` }),
  ({ written, worth }) => ({ written: `"$( (printf '%s.' ${written}) )"`, worth: (value) => `${worth(value)}.` }),
  ({ written, worth }) => ({ written: `"\${u:-$(printf '%s.' ${written})}"`, worth: (value) => `${worth(value)}.` }),
  ({ written, worth }) => ({
    written: `"$(case a in b) ;; a) printf '%s.' ${written} # it's )\n esac)"`,
    worth: (value) => `${worth(value)}.`,
  }),
  ({ written, worth }) => ({
    written: `"$(l=(1 ${written}) # )\nprintf '%s.' "\${l[1]}")"`,
    worth: (value) => `${worth(value)}.`,
  }),
  ({ written, worth }, depth) => ({
    written: `"$(cat <<H${depth}\n-$(printf '%s.' ${written})\nH${depth}\n)"`,
    worth: (value) => `-${worth(value)}.`,
  }),
]

const same = (value: string) => value
const innermost: readonly Word[] = [
  { written: '<<x>>', worth: same },
  { written: '"<<x>>"', worth: same },
  { written: "'<<x>>'", worth: same },
  { written: "$'<<x>>'", worth: same },
  { written: `"a '<<x>>"'"<<x>>'`, worth: (value) => `a '${value}"${value}` },
  {
    written: '"$(cat <<E1; printf \'%s.\' <<x>>\n<<x>>.<<x>>\nE1\n)"',
    worth: (value) => `${value}.${value}\n${value}.`,
  },
]

const word = fc
  .tuple(fc.constantFrom(...innermost), fc.array(fc.constantFrom(...wraps), { maxLength: 3 }))
  .map(([first, around]) => around.reduce((inner, wrap, depth) => wrap(inner, depth), first))

/** A failure names itself; shrinking fifty scripts would take minutes. */
const bounded = { numRuns: 3, endOnFailure: true } as const

/** What `$(…)` leaves of the hostile value; another value cannot be put in its place. */
const trimmed = hostile.replace(/\n+$/, '')

describe('HB-07, P-HB-25: any text', () => {
  it('arrives in any nesting of quotes, substitutions and here-documents', () => {
    const pairs = fc.array(fc.tuple(word, text), { minLength: 50, maxLength: 50 })
    fc.assert(
      fc.property(pairs, (cases) => {
        const runs = runScripts(cases.map(([{ written }, value]) => render(`argv ${written}\n`, { x: value })))
        cases.forEach(([{ written, worth }, value], index) => {
          assert.equal(runs[index]?.printed, `⟦${worth(value)}⟧`, `${written} with ${JSON.stringify(value)}`)
          assert.deepEqual(runs[index]?.files, [])
        })
      }),
      bounded,
    )
  })

  it('arrives in every place of the vectors, or is refused for a reason', () => {
    const comparable = placeVectors.filter(
      ({ receives }) => receives?.every((argument) => argument !== trimmed) ?? true,
    )
    const places = new Map(comparable.map((vector) => [vector.name, vector]))
    const pairs = fc.array(fc.tuple(fc.constantFrom(...places.keys()), text), { minLength: 50, maxLength: 50 })
    fc.assert(
      fc.property(pairs, (cases) => {
        const scripts = cases.map(([name, x]) => attempt(places.get(name)!, x))
        const runs = runScripts(scripts.map((script) => script ?? ''))
        cases.forEach(([name, value], index) => {
          const receives = places.get(name)?.receives
          const about = `${name} with ${JSON.stringify(value)}`
          if (receives === undefined) assert.ok(scripts[index] === undefined || isPlain(value) || value === '', about)
          else if (scripts[index] === undefined) assert.ok(isPlain(value), `${about} was refused`)
          else {
            const due = receives.map((argument) => `⟦${argument.replaceAll(hostile, () => value)}⟧`).join('')
            assert.equal(runs[index]?.printed.replace(/⟧\n?/g, '⟧'), due, about)
          }
          assert.ok(!runs[index]?.files.includes('pwned'), about)
        })
      }),
      bounded,
    )
  })

  it('arrives in the environment', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z_]{1,5}$/), text), (values) => {
        const environment = argEnvironment(bound(values))
        assert.deepEqual(environment, Object.fromEntries(Object.entries(values).map(([k, v]) => [`HPC_ARG_${k}`, v])))
      }),
    )
  })
})

/** The script, or undefined when it was refused as it should be. */
function attempt({ template, values }: Vector, x: string): string | undefined {
  try {
    return render(template, { ...values, x })
  } catch (error) {
    if (error instanceof HpcError && error.code === 'description') return undefined
    throw error
  }
}
