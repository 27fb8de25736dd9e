// The engine compiled against the oldest libtorch that is checked, and all of voxgrad_check run with it. Only at the full
// counts, for it fetches half a gigabyte and compiles for minutes.
import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { figuresOf, skipSuite, suiteTimeout } from './counts.js'
import { root } from './peer.js'

if (process.env.VOXGRAD_VERIFY_SHARE !== '1') {
  const reason = 'it compiles the engine anew: npm run check:libtorch'
  skipSuite('libtorch', reason)
  test.skip(`skipped: ${reason}`)
} else {
  const figures = figuresOf('libtorch', { 'checks on the CPU and the pretend accelerator': 0 })
  test('the engine holds with the oldest libtorch that is checked', { timeout: suiteTimeout }, async () => {
    const script = path.join(root, 'scripts/check-libtorch.mjs')
    const { stdout } = await promisify(execFile)(process.execPath, [script], { maxBuffer: 2 ** 28 })
    expect(stdout).not.toMatch(/^FAIL/m)
    figures['checks on the CPU and the pretend accelerator'] = stdout.match(/^ok /gm)?.length ?? 0
    expect(figures['checks on the CPU and the pretend accelerator']).toBeGreaterThan(15)
  })
}
