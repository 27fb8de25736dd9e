// The trainer class by which nnU-Net builds the network of a checkpoint, as its trainer_name says it.
import type { TrainOptions } from './schema.js'

type NetworkOptions = TrainOptions['network']

/** For a checkpoint: of all options only these change the network, which nnU-Net leaves to the trainer class. */
export const trainerOfNetwork = ({ normalization }: NetworkOptions): string =>
  normalization === 'batch' ? 'nnUNetTrainerBN' : 'nnUNetTrainer'

/** The way back, also for checkpoints of nnU-Net's other trainers. */
export const networkOfTrainer = (trainer: string | undefined): NetworkOptions => ({
  normalization: trainer === 'nnUNetTrainerBN' ? 'batch' : 'plans',
})
