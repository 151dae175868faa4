/** A command's output, passed on with backpressure; apart from its source, so that how a reader ends says nothing about the command. */
import { Readable } from 'node:stream'

export interface Relay {
  readonly stream: Readable
  /** Resolves when all has been handed over: at the reader's end, or at once when nobody has begun to read (the rest is kept for him). */
  readonly through: Promise<void>
}

/** `onAbandoned` runs when the reader gives up before the end; what comes afterwards is thrown away. */
export function relay(source: Readable, onAbandoned: () => void = () => {}): Relay {
  let complete = false
  const stream = new Readable({
    highWaterMark: 1 << 20,
    read() {
      source.resume()
    },
    destroy(error, done) {
      source.resume()
      if (!complete) onAbandoned()
      done(error)
    },
  })
  // An error is also told through `exited`; a reader who does not listen must not take the process down
  stream.on('error', () => {})
  source.on('data', (chunk: Buffer) => {
    if (!stream.destroyed && !stream.push(chunk)) source.pause()
  })
  const through = new Promise<void>((resolve) => {
    stream.once('close', resolve)
    const finish = (): void => {
      if (complete) return
      complete = true
      if (!stream.destroyed) stream.push(null)
      // the one who awaited the channel in this same turn has had his chance to begin reading
      setImmediate(() => {
        if (stream.destroyed || (stream.readableFlowing === null && stream.listenerCount('readable') === 0)) resolve()
      })
    }
    source.once('end', finish)
    source.once('close', finish)
  })
  return { stream, through }
}
