// Networks, losses, gradients and steps against the goldens of the peer kit in VOXGRAD_PEER_DATA/networks.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { expectAgreement } from './expect-agreement.js'

const folder = path.join(process.env.VOXGRAD_PEER_DATA ?? '', 'networks')
const available = process.env.VOXGRAD_PEER_DATA !== undefined && existsSync(folder)

expectAgreement('networks', available ? folder : undefined, 'VOXGRAD_PEER_DATA')
