// Which rank a process is, by torchrun's and Slurm's variables, and what --devices means.
import { describe, expect, test } from 'vitest'
import { deviceOfRank, localRanksOf } from '../../src/ranks/devices.js'
import { placeOfEnvironment } from '../../src/ranks/environment.js'

const meeting = { MASTER_ADDR: 'node7', MASTER_PORT: '29500' }

describe('the environment', () => {
  test('without ranks, or with one, names none', () => {
    expect(placeOfEnvironment({})).toBeNull()
    expect(placeOfEnvironment({ RANK: '0', WORLD_SIZE: '1', ...meeting })).toBeNull()
    expect(placeOfEnvironment({ SLURM_PROCID: '0', SLURM_NTASKS: '1' })).toBeNull()
  })

  test('of torchrun, whose agent runs the store, and whose restarts are attempts of their own', () => {
    const variables = { RANK: '9', WORLD_SIZE: '16', LOCAL_RANK: '1', TORCHELASTIC_RESTART_COUNT: '2', ...meeting }
    const place = placeOfEnvironment({ ...variables, TORCHELASTIC_RUN_ID: 'job', TORCHELASTIC_USE_AGENT_STORE: 'True' })
    expect(place).toMatchObject({
      localRank: 1,
      group: { rank: 9, ranks: 16, address: 'node7', port: 29500, hostsStore: false, attempt: 'job.2' },
    })
    const first = placeOfEnvironment({ ...variables, RANK: '0' })
    expect(first?.group.hostsStore).toBe(true)
  })

  test('of Slurm', () => {
    const variables = { SLURM_PROCID: '3', SLURM_NTASKS: '4', SLURM_LOCALID: '1', SLURM_JOB_ID: '77', ...meeting }
    expect(placeOfEnvironment(variables)).toMatchObject({ localRank: 1, group: { rank: 3, ranks: 4, attempt: '77.0' } })
  })

  test.each([
    [{ RANK: '4', WORLD_SIZE: '4', ...meeting }, /RANK: expected a number below 4, found 4/],
    [{ RANK: 'x', WORLD_SIZE: '4', ...meeting }, /RANK: expected a number below 4, found x/],
    [{ RANK: '0', WORLD_SIZE: '4' }, /MASTER_ADDR: expected the host of rank 0, found nothing/],
    [{ RANK: '0', WORLD_SIZE: '4', MASTER_ADDR: 'a' }, /MASTER_PORT: expected a number below 65536, found nothing/],
    [{ RANK: '0', WORLD_SIZE: '4', MASTER_ADDR: 'a', MASTER_PORT: '99999' }, /MASTER_PORT: .*found 99999/],
  ])('that is wrong is refused: %o', (variables, message) => {
    expect(() => placeOfEnvironment(variables)).toThrow(message)
  })
})

describe('--devices', () => {
  test.each([
    ['1', 'cuda', null],
    ['3', 'cuda', ['cuda:0', 'cuda:1', 'cuda:2']],
    ['0,2', 'cuda', ['cuda:0', 'cuda:2']],
    ['1', 'cpu', null],
    ['2', 'cpu', ['cpu', 'cpu']],
  ])('%s on %s', (text, device, expected) => {
    expect(localRanksOf(text, device)?.devices ?? null).toEqual(expected)
  })

  test.each([
    ['0', 'cuda'],
    ['two', 'cuda'],
    ['0,0', 'cuda'],
    ['0,', 'cuda'],
    ['0,1', 'cpu'],
  ])('%s on %s is refused', (text, device) => {
    expect(() => localRanksOf(text, device)).toThrow(/--devices: expected a number of /)
  })
})

test.each([
  [{ localRank: 0, device: 'cuda:2' }, 'cuda', 'cuda:2'],
  [{ localRank: 1, device: 'cpu' }, 'cpu', 'cpu'],
  [{ localRank: 3 }, 'cuda', 'cuda:3'],
  [{ localRank: 3 }, 'cuda:1', 'cuda:1'],
  [{ localRank: 3 }, 'cpu', 'cpu'],
])('the device of rank %j of a run on %s is %s', (place, configured, expected) => {
  expect(deviceOfRank(place, configured)).toBe(expected)
})
