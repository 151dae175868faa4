/** Every vector, run: the program in the script says what it received. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { HpcError } from '../../contract/errors.ts'
import { placeVectors } from './vectors/places.ts'
import { runScripts } from './vectors/run-scripts.ts'
import { syntaxVectors } from './vectors/syntax.ts'
import { valueVectors } from './vectors/values.ts'
import { render, type Vector } from './vectors/vector.ts'

describe('HB-07, P-HB-03, P-HB-25: a hostile value in every place', () => prove(placeVectors))
describe('HB-03, HB-07, P-HB-04: every kind of value', () => prove(valueVectors))
describe('HB-07, P-GW-02: template syntax', () => prove(syntaxVectors))

function prove(vectors: readonly Vector[]): void {
  const accepted = vectors.filter((vector) => vector.refused === undefined)
  const portable = accepted.filter((vector) => vector.posix)
  const scripts = (some: readonly Vector[]) => some.map(({ template, values }) => rendered(template, values))
  const runs = new Map(runScripts(scripts(accepted)).map((run, index) => [accepted[index], run]))
  const shRuns = new Map(runScripts(scripts(portable), 'sh').map((run, index) => [portable[index], run]))
  for (const vector of vectors) {
    it(vector.name, () => {
      if (vector.refused !== undefined) {
        assert.throws(() => render(vector.template, vector.values), isRefusal(vector.refused))
        return
      }
      const script = render(vector.template, vector.values)
      if (vector.script !== undefined) assert.equal(script, vector.script)
      assert.ok(vector.receives !== undefined || vector.script !== undefined, 'a vector that proves nothing')
      for (const run of vector.receives === undefined ? [] : [runs.get(vector), shRuns.get(vector)]) {
        if (run === undefined) continue
        assert.equal(
          run.printed.replace(/⟧\n?/g, '⟧'),
          vector.receives?.map((argument) => `⟦${argument}⟧`).join(''),
          script,
        )
        assert.deepEqual(run.files, [], 'a command in a value was run')
        assert.equal(run.complained, '')
      }
    })
  }
}

/** A script that does nothing stands in for one that cannot be rendered: its own test says why. */
function rendered(template: string, values: Vector['values']): string {
  try {
    return render(template, values)
  } catch {
    return ''
  }
}

function isRefusal(message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof HpcError, `not an error of ours: ${String(error)}`)
    assert.equal(error.code, 'description')
    assert.match(error.message, /^Cannot render templates\/tool\.template:\d+: /)
    assert.match(`${error.message}; ${error.hint ?? ''}`, message)
    return true
  }
}
