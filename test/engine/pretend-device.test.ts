// The whole engine on the pretend accelerator: no host read inside a step, no tensor on the wrong device.
import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'

const program = new URL('../../build/voxgrad_check', import.meta.url).pathname

const run = (args: string[]) =>
  spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, GOMP_SPINCOUNT: '10000' } })

describe('voxgrad_check', () => {
  it.each(['cpu', 'pretend'])(
    'holds on %s',
    (device) => {
      const { status, stdout, stderr } = run([device, '--steps', '60'])
      expect(stderr).toBe('')
      expect(stdout).toContain('ok    every kernel that is launched is compiled for CUDA')
      expect(stdout).toContain('ok    the loss falls')
      expect(stdout).toContain('ok    half, save, load, half gives the weights of the whole run: largest difference 0')
      for (const place of ['device', 'host', 'disk']) {
        for (const format of ['', ' as float16'])
          expect(stdout).toContain(
            `ok    cases on ${place}${format}: weights and validation as on the device: difference 0`,
          )
      }
      expect(stdout).toContain('ok    every case is drawn as often as any other')
      if (device === 'pretend') {
        expect(stdout).toContain('ok    cases on device: bytes to the device a training step')
        expect(stdout).toContain('ok    cases on disk as float16: bytes to the device besides the regions of 8 steps')
        for (const what of [
          "DA5's augmentation",
          'a cascade with sparse regions',
          'default augmentation',
          'ResidualEncoderUNet with dropout and AdamW',
        ]) {
          expect(stdout).toContain(`ok    host reads in a chunk of 50 training steps, ${what}: 1`)
        }
        expect(stdout).toMatch(
          /^ok {4}two ranks, steps as a graph: a collective a bucket and none else|^info {2}two ranks are skipped/m,
        )
        expect(stdout).toContain("ok    the float16 scaler's state is saved and loaded: scale 65536")
        expect(stdout).toContain('ok    a tensor left on the host raises: yes')
      }
      expect(status).toBe(0)
    },
    300_000,
  )

  it('says which devices there are for one that is not there', () => {
    const { status, stderr } = run(['cuda:99'])
    expect(status).toBe(2)
    expect(stderr).toMatch(/cuda/i)
  }, 300_000)
})
