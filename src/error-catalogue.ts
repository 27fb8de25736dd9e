// Every error code: what it means, what is required, what usually helps, and the exit code of the command line.
// docs/errors.md is written from this list by scripts/error-page.mjs.

/** What is known of an error by its code alone. */
export interface CatalogueEntry {
  /** What happened, in a few words. */
  title: string
  /** When it comes, and what it leaves behind. */
  meaning: string
  /** What voxgrad needs instead; an error that knows better says so itself. */
  required: string
  /** What to do; an error that knows better says so itself. */
  remedy: string
  /** 2 usage or data, 70 a fault of voxgrad or its machine, 74 disk, 75 stopped and resumable. */
  exitCode: 2 | 70 | 74 | 75
}

/** Every error code with what is known of it; scripts may rely on codes and exit codes. */
export const errorCatalogue = {
  ERR_CONFIG: {
    title: 'a wrong option or command line',
    meaning:
      'A flag, argument, option, file of options or policy function is wrong. What was there before is unchanged.',
    required: 'options that exist, with values of their type and range, that do not contradict each other',
    remedy:
      'Correct the option: `voxgrad VERB --help` lists flags, `voxgrad config init` writes every option with its meaning.',
    exitCode: 2,
  },
  ERR_FOLDER_NOT_SET: {
    title: 'a data folder is not set',
    meaning:
      'Raw data, preprocessed data and results lie below three folders, as nnU-Net has them; this one is not known.',
    required:
      'nnUNet_raw, nnUNet_preprocessed and nnUNet_results in the environment, as far as a verb needs them, or a flag for each',
    remedy: 'Export the variable, or give --raw, --preprocessed or --results.',
    exitCode: 2,
  },
  ERR_DATASET_NOT_FOUND: {
    title: 'no dataset, or more than one, has this id or name',
    meaning: 'The id or name was looked up in the raw and the preprocessed folder.',
    required: 'an id (4 or 004) or a full name (Dataset004_NAME) that one folder has',
    remedy:
      'Check the id and nnUNet_raw; `voxgrad import FOLDER --id N` brings a Medical Segmentation Decathlon task in.',
    exitCode: 2,
  },
  ERR_DATASET: {
    title: 'a faulty dataset',
    meaning:
      'The dataset.json, the files of a dataset or the cases of a split do not fit together. All faults are listed at once, and nothing was written.',
    required: "a folder in nnU-Net's layout whose images, labels and dataset.json agree",
    remedy: 'Correct or remove what is listed, then repeat the command.',
    exitCode: 2,
  },
  ERR_IMAGE: {
    title: 'an image or segmentation that cannot be used',
    meaning: 'The file is damaged, cut off, of a kind that is not read, or does not fit the files that belong to it.',
    required:
      'a whole file of a supported kind (docs/file-types.md), with finite intensities, on one grid with its case',
    remedy: 'Copy or export the file again, or remove its case from the dataset.',
    exitCode: 2,
  },
  ERR_LABEL: {
    title: 'label values that dataset.json does not name',
    meaning:
      'A segmentation holds values beside those in "labels" of dataset.json, or values that are not whole numbers.',
    required: 'whole numbers that "labels" of dataset.json names',
    remedy: 'Correct the segmentation, or add the value to "labels" of dataset.json.',
    exitCode: 2,
  },
  ERR_PLANS: {
    title: 'plans that are missing or do not fit',
    meaning:
      'The plans file is not there, lacks the configuration, or asks for what voxgrad or the dataset does not have.',
    required: 'plans with the configuration asked for, made for this dataset',
    remedy: 'Write plans with `voxgrad plan DATASET`, or choose others with --plans.',
    exitCode: 2,
  },
  ERR_PREPROCESSED: {
    title: 'preprocessed cases that are missing or do not fit',
    meaning: 'Training and validation read preprocessed cases; some are not there, or are not what the plans say.',
    required: 'every case of the split, preprocessed with the plans that are trained',
    remedy: 'Preprocess again: `voxgrad preprocess DATASET -c CONFIGURATION`.',
    exitCode: 2,
  },
  ERR_FORMAT: {
    title: 'a damaged or foreign file',
    meaning: 'A file is cut off, damaged, or not of the kind that its name promises. It was not changed.',
    required: 'a whole file as voxgrad or nnU-Net writes it',
    remedy: 'Restore the file from a copy, or make it again with the verb that wrote it.',
    exitCode: 2,
  },
  ERR_CHECKPOINT: {
    title: 'a checkpoint that is missing or damaged',
    meaning: 'The file is not there, is cut off, fails its checksums, or holds no training state.',
    required: 'a whole checkpoint (.pth) of voxgrad or nnU-Net',
    remedy: 'Take another one: `voxgrad resume RUN --from latest`, best or final.',
    exitCode: 2,
  },
  ERR_CHECKPOINT_MISFIT: {
    title: 'a checkpoint of another network',
    meaning:
      'The checkpoint is whole, but its weights or optimizer state have other names or shapes than these plans ask for.',
    required: 'a checkpoint of the same plans, configuration, channels and labels',
    remedy: 'Use the plans that the checkpoint was trained with, or another checkpoint.',
    exitCode: 2,
  },
  ERR_RUN: {
    title: 'a run folder that lacks something',
    meaning: 'The folder is no run, or has not come as far as the verb needs.',
    required: 'a run folder that `voxgrad train` wrote, with what the verb reads',
    remedy: 'Check the path (`voxgrad runs` lists runs), or finish the training with `voxgrad resume RUN`.',
    exitCode: 2,
  },
  ERR_RUN_EXISTS: {
    title: 'the folder already holds a run',
    meaning: 'A run is never overwritten. Nothing was changed.',
    required: 'a folder without a run, or the wish to go on with it',
    remedy: 'Go on with `voxgrad resume RUN` or --continue, or choose another folder with --run.',
    exitCode: 2,
  },
  ERR_RUN_IN_USE: {
    title: 'another process works in the run folder',
    meaning:
      'A lock of the kernel keeps two processes from writing one run. It ends with its owner, however that ends.',
    required: 'a run folder that no other process has',
    remedy: 'Wait for it (`voxgrad status RUN`), end it (`voxgrad stop RUN`), or train into another folder with --run.',
    exitCode: 2,
  },
  ERR_DEVICE: {
    title: 'the device is not there or not usable',
    meaning: 'The device asked for is missing, or this build has no kernels or no library for it.',
    required: 'a device that `voxgrad doctor` lists',
    remedy: 'Run `voxgrad doctor` and do what it says, or train with --device cpu.',
    exitCode: 2,
  },
  ERR_OUT_OF_MEMORY: {
    title: 'the memory of the GPU is used up',
    meaning:
      'Network, batch and cases together need more memory than the device has free. The last checkpoint is whole.',
    required: 'a batch and patch that fit into the free memory of the device',
    remedy:
      'End other programs on the device, keep cases off it with --set data.place=host, or plan for less with `voxgrad plan --gpu-memory GB`.',
    exitCode: 70,
  },
  ERR_HOST_MEMORY: {
    title: 'the memory of the machine is used up',
    meaning: 'An allocation failed, or the kernel ended the process for lack of memory. The last checkpoint is whole.',
    required: 'enough memory of the machine, or of its container, for the cases in work',
    remedy:
      'End other programs, work on fewer cases at once (-j), keep cases on disk with --set data.place=disk, or raise the limit of the container.',
    exitCode: 70,
  },
  ERR_NON_FINITE: {
    title: 'training became non-finite for good',
    meaning:
      'Loss, gradient or weights were infinite or not a number, and reloading the last checkpoint did not help. It is whole.',
    required: 'finite losses and gradients',
    remedy: 'Lower optimizer.initialLr, or look for wrong intensities in the images.',
    exitCode: 70,
  },
  ERR_NATIVE_LOAD: {
    title: 'the native addon is missing or does not load',
    meaning: 'The addon is not built, or libtorch or another library that it was built with has moved or changed.',
    required: 'build/Release/voxgrad.node, built on this machine against a libtorch that is still there',
    remedy: 'Run `voxgrad doctor`, which names the cause, then `npm run setup` in the folder of voxgrad.',
    exitCode: 70,
  },
  ERR_RANK: {
    title: 'another process that trains the same network is gone',
    meaning: 'One of the processes that share a training ended, or did not come. The last checkpoint is whole.',
    required: 'all processes of the training, each reachable from the others',
    remedy: 'Look for the error of the process that ended first, then start all of them again with --continue.',
    exitCode: 70,
  },
  ERR_BUSY: {
    title: 'a second job was given to a busy trainer',
    meaning: 'A trainer works on one job at a time; the first goes on. Only callers of the native interface see this.',
    required: 'a trainer without a running job',
    remedy: 'Wait for the promise of the first job, or end it with stop().',
    exitCode: 70,
  },
  ERR_DISPOSED: {
    title: 'a trainer was used after dispose()',
    meaning: 'Its network and cases are gone. Only callers of the native interface see this.',
    required: 'a trainer that was not disposed of',
    remedy: 'Make a new trainer and load a checkpoint into it.',
    exitCode: 70,
  },
  ERR_INTERNAL: {
    title: 'a fault of voxgrad',
    meaning:
      'Something happened that voxgrad holds to be impossible, or its engine crashed. The last checkpoint is whole.',
    required: 'no action of yours would have prevented it',
    remedy:
      'Please report it with the command line and the output of `voxgrad doctor`; with VOXGRAD_DEBUG=1 in the environment the same command also prints where it happened.',
    exitCode: 70,
  },
  ERR_DISK: {
    title: 'a file or folder cannot be written or read',
    meaning: 'The file system refused: read-only, no permission, a failing disk. What was there before is unchanged.',
    required: 'a folder that this user may write to, on a working disk',
    remedy: 'Check owner and mode of the folder, or choose another one.',
    exitCode: 74,
  },
  ERR_DISK_FULL: {
    title: 'no space is left on the disk',
    meaning:
      'The disk or the quota is full. Files are written whole or not at all: what was there before is unchanged.',
    required: 'free space for what is written',
    remedy: 'Free some space or choose another folder; a run goes on with `voxgrad resume RUN`.',
    exitCode: 74,
  },
  ERR_STOPPED: {
    title: 'a job was stopped before it had a result',
    meaning: 'A signal or stop() ended a job between two steps or windows. What was saved is whole.',
    required: 'a job that is left to end',
    remedy: 'Repeat the command; a run goes on with `voxgrad resume RUN`.',
    exitCode: 75,
  },
} as const satisfies Record<string, CatalogueEntry>

/** What kind of error it is; stable, for programs. */
export type ErrorCode = keyof typeof errorCatalogue

/** All codes, usage first. */
export const errorCodes = Object.keys(errorCatalogue) as ErrorCode[]

export const isErrorCode = (code: unknown): code is ErrorCode =>
  typeof code === 'string' && Object.hasOwn(errorCatalogue, code)

/** Where the documentation explains a code, in the repository and in the package. */
export const pageOf = (code: ErrorCode): string => `docs/errors.md#${code}`
