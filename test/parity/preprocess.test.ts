// Fingerprint and preprocessed data against those of the real nnU-Net, in the folder that VOXGRAD_PEER_DATA names.
import { expectAgreement } from './expect-agreement.js'

expectAgreement('preprocess', process.env.VOXGRAD_PEER_DATA, 'VOXGRAD_PEER_DATA')
