/** What is worked out once; for as long as one pass, in which the answer must not change anyway. */
export function remember<Key, Value>(make: (key: Key) => Value): (key: Key) => Value {
  const known = new Map<Key, Value>()
  return (key) => {
    const found = known.get(key)
    if (found !== undefined || known.has(key)) return found as Value
    const value = make(key)
    known.set(key, value)
    return value
  }
}

/** The same for one answer. */
export function once<Value>(make: () => Value): () => Value {
  let known: { readonly value: Value } | undefined
  return () => {
    known ??= { value: make() }
    return known.value
  }
}

/** An object whose parts are worked out when they are asked for, each once. */
export function lazy<T extends object>(parts: { readonly [Name in keyof T]: () => T[Name] }): T {
  const object = {} as T
  for (const name of Object.keys(parts) as (keyof T)[])
    Object.defineProperty(object, name, { enumerable: true, get: once(parts[name]) })
  return object
}
