// A prediction server: the model stays in memory, an image is posted, its segmentation is the answer. Loopback only.
//   npx tsx examples/prediction-server.ts RUN [--port 8080] [--device cpu]
//   curl --data-binary @case_0000.nii.gz localhost:8080 > case.nii.gz
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { openPredictor, VoxgradError } from 'voxgrad'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { port: { type: 'string', default: '8080' }, device: { type: 'string', default: 'cpu' } },
})
const [run] = positionals
if (run === undefined) {
  console.error('usage: npx tsx examples/prediction-server.ts RUN [--port 8080]')
  process.exit(2)
}
const largestUpload = 1 << 30

const predictor = await openPredictor({ run, device: values.device })
if (predictor.channels.length !== 1)
  throw new Error(`this example takes one image a case, the model ${predictor.channels}`)

/** The request's body as a file, through the model, and back. */
async function segment(request: IncomingMessage, signal: AbortSignal): Promise<Buffer> {
  const folder = await mkdtemp(path.join(tmpdir(), 'prediction-'))
  try {
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > largestUpload) throw new VoxgradError('ERR_DATASET', 'the image is larger than 1 GiB')
      chunks.push(chunk)
    }
    const image = path.join(folder, `case_0000${predictor.fileEnding}`)
    const output = path.join(folder, `case${predictor.fileEnding}`)
    await writeFile(image, Buffer.concat(chunks))
    await predictor.predict({ images: [image], output }, { signal })
    return await readFile(output)
  } finally {
    await rm(folder, { recursive: true })
  }
}

const server = createServer(async (request, response) => {
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  try {
    const segmentation = await segment(request, gone.signal)
    response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(segmentation)
  } catch (error) {
    const isFaultOfInput = error instanceof VoxgradError && error.exitCode === 2
    response
      .writeHead(isFaultOfInput ? 400 : 500, { 'content-type': 'text/plain' })
      .end(`${(error as Error).message}\n`)
  }
})
server.listen(Number(values.port), '127.0.0.1', () => {
  const address = server.address()
  console.log(`listening on http://127.0.0.1:${typeof address === 'object' ? address?.port : address}`)
})
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    server.close()
    server.closeAllConnections()
    await predictor.dispose()
  })
}
