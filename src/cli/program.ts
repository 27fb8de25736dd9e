// The command line: the verbs, wrong usage, and every way to end.
import { Command, CommanderError } from 'commander'
import { version } from '../version.js'
import { addAdvise } from './advise.js'
import { addBench } from './bench.js'
import { addBestConfiguration } from './best-configuration.js'
import { addCompletion } from './completion.js'
import { addConfig } from './config.js'
import { reportFailure, reportUsage } from './context.js'
import { addDashboard } from './dashboard.js'
import { addDoctor } from './doctor.js'
import { addEnsemble, addPostprocess } from './ensemble.js'
import { addEvaluate } from './evaluate.js'
import { addExplain } from './explain.js'
import { addImport } from './import.js'
import { addPlan } from './plan.js'
import { addPredict } from './predict.js'
import { addPreprocess } from './preprocess.js'
import { addReport } from './report.js'
import { addResume } from './resume.js'
import { addSetup } from './setup.js'
import { addRuns, addStatus, addStop } from './status.js'
import { addSweep } from './sweep.js'
import { addTrain } from './train.js'
import { addValidate } from './validate.js'

/** The program with all its verbs; the reference of commands is made of it. */
export const program = new Command('voxgrad')
  .description('Trains nnU-Net segmentation networks: raw images to a validated model, without Python at run time.')
  .version(version, '-V, --version', 'Print the version.')
  .helpOption('-h, --help', 'Print this help; `voxgrad VERB --help` explains a verb.')
  .helpCommand('help [VERB]', 'Print the help of a verb.')
  .showHelpAfterError('(`--help` lists what there is.)')
  .exitOverride()
  .addHelpText(
    'after',
    `
The way from images to a model:
  voxgrad doctor
  voxgrad import ./Task04_Hippocampus --id 4
  voxgrad plan 4
  voxgrad preprocess 4 -c 3d_fullres
  voxgrad train 4 3d_fullres 0
  voxgrad predict -i images -o predictions --run RUN

Exit codes: 0 done; 2 wrong usage, configuration or data; 70 a fault of voxgrad, or training that is no longer finite;
74 disk; 75 stopped early and resumable; 130 ended at once by a second Ctrl-C.`,
  )

const verbs = [
  [addSetup, addDoctor, addExplain, addImport, addPlan, addPreprocess, addTrain, addResume, addSweep],
  [addDashboard, addStatus, addStop, addRuns, addReport, addAdvise, addValidate, addPredict, addEvaluate],
  [addBestConfiguration, addEnsemble, addPostprocess, addBench, addConfig],
]
for (const add of verbs.flat()) add(program)
addCompletion(program)

/** Carries out the command line of this process. */
export async function runProgram(): Promise<void> {
  // A reader that goes away (`| head`) is no fault. A run in progress hears of it in follow.ts and saves first.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    if (process.listenerCount('SIGPIPE') === 0) process.exit()
    process.emit('SIGPIPE', 'SIGPIPE')
  })

  const json = process.argv.includes('--json')
  try {
    const given = process.argv.slice(2)
    const [verb, about] = given
    // Of a verb that is not there, `help` would print everything instead of saying so.
    const isUnknown = verb === 'help' && about !== undefined && !program.commands.some((one) => one.name() === about)
    await program.parseAsync(isUnknown ? [about] : given, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) process.exitCode = reportFailure(error, json)
    else if (error.exitCode !== 0) process.exitCode = reportUsage(error.message.replace(/^error: /, ''), json)
  }
}
