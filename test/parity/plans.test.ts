// The planners against any number of goldens of the real nnU-Net, in the folder that VOXGRAD_PEER_PLANS names.
import { expectAgreement } from './expect-agreement.js'

expectAgreement('plans', process.env.VOXGRAD_PEER_PLANS, 'VOXGRAD_PEER_PLANS')
