// Pickles that would run code in Python, alone and inside a checkpoint: none runs anything here, and each is refused with
// the function or opcode that it tried to use.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { unzipSync, zipSync } from 'fflate'
import { afterAll, expect, test } from 'vitest'
import { native } from '../../src/native/load.js'
import { failureOf, golden, peerPython, runPython, temporaryFolder } from '../io/support.js'
import { figuresOf } from './counts.js'

const figures = figuresOf('malicious-pickles', {
  payloads: 0,
  'files read': 0,
  'refused by name': 0,
  executed: 0,
  "executed by Python's own pickle": 0,
})
const folder = temporaryFolder()
const canary = path.join(folder, 'canary')
afterAll(() => rmSync(canary, { force: true }))

/** Texts and numbers as pickles of protocol 2 and up spell them. */
const text = (value: string) => `X${String.fromCharCode(value.length & 255, value.length >> 8, 0, 0)}${value}`
const short = (value: string) => `\x8c${String.fromCharCode(value.length)}${value}`
const bytes = (value: string) => `B${String.fromCharCode(value.length & 255, value.length >> 8, 0, 0)}${value}`
const named = (module: string, name: string) => `c${module}\n${name}\n`
const stacked = (module: string, name: string) => `${short(module)}${short(name)}\x93`
const call = (callee: string, ...values: string[]) => `${callee}(${values.join('')}tR`

const shell = `touch ${canary}`
const code = `open(${JSON.stringify(canary)}, 'w').close()`
/** A pickle in a pickle. */
const inner = `\x80\x02${call(named('os', 'system'), text(shell))}.`
const expression = `__import__('os').system(${JSON.stringify(shell)})`

/** What it is, its opcodes, and what the refusal must name. */
const payloads: [string, string, RegExp][] = [
  ['os.system', `\x80\x02${call(named('os', 'system'), text(shell))}.`, /os\.system/],
  ['os.system of protocol 0', `cos\nsystem\n(S'${shell}'\ntR.`, /os\.system/],
  [
    'posix.system, the same by its real module',
    `\x80\x02${call(named('posix', 'system'), text(shell))}.`,
    /posix\.system/,
  ],
  ['posix.system from the stack', `\x80\x04${call(stacked('posix', 'system'), text(shell))}.`, /posix\.system/],
  ['os.popen', `\x80\x02${call(named('os', 'popen'), text(shell))}.`, /os\.popen/],
  ['os.execl', `\x80\x02${call(named('os', 'execlp'), text('touch'), text('touch'), text(canary))}.`, /os\.execlp/],
  [
    'os.posix_spawn',
    `\x80\x02${call(named('os', 'posix_spawn'), text('/usr/bin/touch'), `(${text('touch')}${text(canary)}l`, '}')}.`,
    /os\.posix_spawn/,
  ],
  [
    'subprocess.call',
    `\x80\x02${call(named('subprocess', 'call'), `(${text('touch')}${text(canary)}l`)}.`,
    /subprocess\.call/,
  ],
  [
    'subprocess.Popen by NEWOBJ',
    `\x80\x02${named('subprocess', 'Popen')}((${text('touch')}${text(canary)}lt\x81.`,
    /subprocess\.Popen/,
  ],
  [
    'subprocess.Popen by NEWOBJ_EX',
    `\x80\x04${stacked('subprocess', 'Popen')}(${text(shell)}t}\x92.`,
    /subprocess\.Popen/,
  ],
  ['pty.spawn', `\x80\x02${call(named('pty', 'spawn'), `(${text('touch')}${text(canary)}l`)}.`, /pty\.spawn/],
  ['builtins.eval', `\x80\x02${call(named('builtins', 'eval'), text(expression))}.`, /builtins\.eval/],
  [
    '__builtin__.eval of Python 2',
    `\x80\x02${call(named('__builtin__', 'eval'), text(expression))}.`,
    /__builtin__\.eval/,
  ],
  ['builtins.exec', `\x80\x02${call(named('builtins', 'exec'), text(code))}.`, /builtins\.exec/],
  ['builtins.open', `\x80\x02${call(named('builtins', 'open'), text(canary), text('w'))}.`, /builtins\.open/],
  ['io.open', `\x80\x02${call(named('io', 'open'), text(canary), text('w'))}.`, /io\.open/],
  [
    'builtins.getattr of a module',
    `\x80\x04${call(call(stacked('builtins', 'getattr'), call(stacked('builtins', '__import__'), short('os')), short('system')), text(shell))}.`,
    /builtins\.getattr/,
  ],
  ['builtins.__import__', `\x80\x02${call(named('builtins', '__import__'), text('os'))}.`, /builtins\.__import__/],
  [
    'a compiled code object',
    `\x80\x02${call(named('builtins', 'exec'), call(named('builtins', 'compile'), text(code), text('x'), text('exec')))}.`,
    /builtins\.exec/,
  ],
  [
    'builtins.map over eval',
    `\x80\x02${call(named('builtins', 'list'), call(named('builtins', 'map'), named('builtins', 'eval'), `(${text(expression)}l`))}.`,
    /builtins\.list/,
  ],
  [
    'a call nested in an allowed one',
    `\x80\x02${call(named('collections', 'OrderedDict'), call(named('os', 'system'), text(shell)))}.`,
    /os\.system/,
  ],
  ['a call as the key of a dict', `\x80\x02}${call(named('os', 'system'), text(shell))}Ns.`, /os\.system/],
  ['a call whose value is thrown away', `\x80\x02${call(named('os', 'system'), text(shell))}0N.`, /os\.system/],
  ['a name kept in the memo', `\x80\x02${named('os', 'system')}q\x000h\x00(${text(shell)}tR.`, /os\.system/],
  [
    'a name from the stack by way of the memo',
    `\x80\x04${short('os')}\x94${short('system')}\x9400h\x00h\x01\x93(${text(shell)}tR.`,
    /os\.system/,
  ],
  ['a dotted name', `\x80\x04${call(stacked('os', 'path.os.system'), text(shell))}.`, /os\.path\.os\.system/],
  [
    'an allowed module with a dotted name',
    `\x80\x04${call(stacked('collections', '_sys.modules.get'), short('os'))}.`,
    /collections\._sys\.modules\.get/,
  ],
  [
    "a module that imports os: torch's own",
    `\x80\x04${call(stacked('torch.serialization', 'os.system'), text(shell))}.`,
    /torch\.serialization\.os\.system/,
  ],
  [
    'torch.storage._load_from_bytes',
    `\x80\x02${call(named('torch.storage', '_load_from_bytes'), `\x80\x03${bytes(inner)}`.slice(2))}.`,
    /torch\.storage\._load_from_bytes/,
  ],
  ['torch.load', `\x80\x02${call(named('torch', 'load'), text(canary))}.`, /torch\.load/],
  ['pickle.loads of an inner pickle', `\x80\x03${call(named('pickle', 'loads'), bytes(inner))}.`, /pickle\.loads/],
  ['_pickle.loads', `\x80\x03${call(named('_pickle', 'loads'), bytes(inner))}.`, /_pickle\.loads/],
  [
    'a NumPy number that holds a pickle',
    `\x80\x03${call(named('numpy.core.multiarray', 'scalar'), `${call(named('numpy', 'dtype'), text('O8'), '\x89', '\x88')}`, bytes(inner))}.`,
    /"O8"/,
  ],
  [
    'a NumPy array of objects',
    `\x80\x03${call(named('numpy.core.multiarray', '_reconstruct'), named('numpy', 'ndarray'), '(K\x00t', bytes('b'))}(K\x01(K\x01t${call(named('numpy', 'dtype'), text('O'), '\x89', '\x88')}\x89(${call(named('os', 'system'), text(shell))}ltb.`,
    /"O"/,
  ],
  ['numpy.load', `\x80\x02${call(named('numpy', 'load'), text(canary))}.`, /numpy\.load/],
  ['INST', `(${text(shell)}ios\nsystem\n.`, /opcode 0x69/],
  ['OBJ', `(${named('os', 'system')}${text(shell)}o.`, /os\.system/],
  ['an extension code', '\x80\x02\x82\x01.', /opcode 0x82/],
  ['an extension code of four bytes', '\x80\x02\x84\x01\x00\x00\x00.', /opcode 0x84/],
  [
    'BUILD with attributes for a class',
    `\x80\x02${named('collections', 'OrderedDict')}}${text('__setstate__')}${named('os', 'system')}sb${text(shell)}b.`,
    /os\.system/,
  ],
  [
    'BUILD of an object whose __setstate__ is a function',
    `\x80\x02${named('types', 'SimpleNamespace')})\x81}${text('__setstate__')}${named('os', 'system')}sb${text(shell)}b.`,
    /types\.SimpleNamespace/,
  ],
  ['a persistent id that is a call', `\x80\x02${call(named('os', 'system'), text(shell))}Q.`, /os\.system/],
  ['a persistent id as a line', 'Pstorage; os.system\n.', /opcode 0x50/],
  [
    'an allowed class built with a function for its argument',
    `\x80\x02${call(named('torch._utils', '_rebuild_parameter'), named('os', 'system'), '\x88', 'N')}.`,
    /os\.system/,
  ],
  ['a copy of the interpreter', `\x80\x02${call(named('code', 'interact'))}.`, /code\.interact/],
  ['runpy.run_path', `\x80\x02${call(named('runpy', 'run_path'), text(canary))}.`, /runpy\.run_path/],
  [
    'importlib.import_module',
    `\x80\x02${call(named('importlib', 'import_module'), text('os'))}.`,
    /importlib\.import_module/,
  ],
  ['shutil.rmtree', `\x80\x02${call(named('shutil', 'rmtree'), text(`${canary}-folder`))}.`, /shutil\.rmtree/],
  ['ctypes', `\x80\x02${call(named('ctypes', 'CDLL'), text('libc.so.6'))}.`, /ctypes\.CDLL/],
  [
    'timeit.timeit',
    `\x80\x02${call(named('timeit', 'timeit'), text(code), text('pass'), named('time', 'time'), 'K\x01')}.`,
    /timeit\.timeit/,
  ],
]
const latin1 = (value: string) => Buffer.from(value, 'latin1')

/** torch.save's container with this pickle in it. */
function checkpointWith(pickle: Buffer): Uint8Array {
  const records = unzipSync(readFileSync(golden('checkpoint.pth')))
  const [name] = Object.keys(records).filter((record) => record.endsWith('/data.pkl'))
  return zipSync({ ...records, [name as string]: pickle }, { level: 0 })
}

test.each(payloads)('%s', async (_, opcodes, reason) => {
  figures.payloads++
  const pickle = path.join(folder, 'attack.pkl')
  const checkpoint = path.join(folder, 'attack.pth')
  writeFileSync(pickle, latin1(opcodes))
  writeFileSync(checkpoint, checkpointWith(latin1(opcodes)))
  for (const [file, read] of [
    [pickle, () => native().readPickle(pickle)],
    [checkpoint, () => native().readTorchFile(checkpoint)],
  ] as const) {
    const error = await failureOf(read)
    figures['files read']++
    if (existsSync(canary)) figures.executed++
    expect(existsSync(canary)).toBe(false)
    expect(error.message).toMatch(reason)
    expect(error.message).toContain(path.basename(file))
    figures['refused by name']++
  }
})

/** Unpickles every file in a process of its own and prints how many of them made the canary. */
const victim = `
import os, pickle, signal, sys
canary, *files = sys.argv[1:]
executed = 0
for file in files:
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        for stream in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), stream)
        try:
            pickle.load(open(file, 'rb'))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    if os.path.exists(canary):
        executed += 1
        os.remove(canary)
print(executed)`

const python = peerPython()
test.skipIf(python === undefined)(
  "the payloads are real: most of them run in Python's own pickle",
  () => {
    const files = payloads.map(([, opcodes], i) => {
      const file = path.join(folder, `real-${i}.pkl`)
      writeFileSync(file, latin1(opcodes))
      return file
    })
    const executed = Number(runPython(python as string, victim, canary, ...files))
    figures["executed by Python's own pickle"] = executed
    // The others only load something, or need an object of their own to be there.
    expect(executed).toBeGreaterThanOrEqual(30)
  },
  120_000,
)
