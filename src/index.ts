// The package's public entry.
export { VoxgradError } from './errors.js'
