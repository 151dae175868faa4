/** Bytes through TCP and nothing else: `serve ADDRESS` prints its port; `up|down ADDRESS PORT BYTES` prints the milliseconds it took. */
import { connect, createServer } from 'node:net'

const [what, address, port, bytes] = process.argv.slice(2)
const block = Buffer.alloc(256 * 1024, 7)

function send(socket, left) {
  const more = () => {
    while (left > 0) {
      const piece = block.subarray(0, Math.min(block.length, left))
      left -= piece.length
      if (!socket.write(piece)) return socket.once('drain', more)
    }
  }
  more()
}

function receive(socket, left, done) {
  socket.on('data', (chunk) => {
    left -= chunk.length
    if (left <= 0) done()
  })
}

if (what === 'serve') {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (request) => {
      const [way, size] = request.toString().split(' ')
      if (way === 'down') return send(socket, Number(size))
      receive(socket, Number(size), () => socket.end('k'))
      socket.write('g')
    })
  })
  server.listen(0, address, () => console.log(server.address().port))
} else {
  const socket = connect({ port: Number(port), host: address, noDelay: true }, () => socket.write(`${what} ${bytes}`))
  const start = performance.now()
  const done = () => {
    console.log(performance.now() - start)
    process.exit(0)
  }
  if (what === 'down') receive(socket, Number(bytes), done)
  else {
    socket.once('data', () => {
      send(socket, Number(bytes))
      socket.once('data', done)
    })
  }
}
