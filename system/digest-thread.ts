/**
 * Digests in a thread of its own, which reads what is there of the file so far. That lies in the page cache, so the way of the bytes
 * waits for it no longer than for its last piece.
 */
import { Worker } from 'node:worker_threads'
import { digestHere, pieceBytes, type StartDigest } from './file-digest.ts'
import { realOs } from './os.ts'

/** Text, because a bundle is one file and a thread begins with one. */
const program = `'use strict'
const { parentPort, workerData: fd } = require('node:worker_threads')
const { readSync } = require('node:fs')
const hash = require('node:crypto').createHash('sha256')
const piece = Buffer.allocUnsafe(${pieceBytes})
let at = 0
parentPort.on('message', ({ bytes, ends }) => {
  while (at < bytes) {
    const count = readSync(fd, piece, 0, Math.min(piece.length, bytes - at), at)
    if (count === 0) throw new Error('the file is shorter than it was')
    hash.update(piece.subarray(0, count))
    at += count
  }
  if (ends) parentPort.postMessage(hash.digest('hex'))
})`

export const digestInThread: StartDigest = (fd) => {
  const worker = new Worker(program, { eval: true, workerData: fd })
  const result = new Promise<string>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', () => reject(new Error('the thread that digests ended early')))
  })
  result.catch(() => undefined)
  let stopped = false
  // only who waits for the result keeps the process for it
  worker.unref()
  return {
    reach: (bytes) => worker.postMessage({ bytes, ends: false }),
    async end(bytes) {
      worker.ref()
      worker.postMessage({ bytes, ends: true })
      try {
        return await result
      } catch (error) {
        if (stopped) throw error
        // where no thread may be started it is done here; what is wrong with the file shows again
        return await digestHere(realOs)(fd).end(bytes)
      } finally {
        void worker.terminate()
      }
    },
    stop() {
      stopped = true
      void worker.terminate()
    },
  }
}
