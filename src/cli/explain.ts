// voxgrad explain: what an error code means and what to do, from the catalogue; without a code, the list of all.
import type { Command } from 'commander'
import { nearest } from '../config/issues.js'
import { type ErrorCode, errorCatalogue, errorCodes, isErrorCode, pageOf } from '../error-catalogue.js'
import { VoxgradError } from '../errors.js'
import { wrap } from '../report/table.js'
import { addCommonFlags, type CommonFlags, makeContext } from './context.js'

export function addExplain(program: Command): void {
  const command = program
    .command('explain')
    .summary('Say what an error code means and what to do.')
    .description('Explains an error code: what happened, what is required, what usually helps. Without one, lists all.')
    .argument('[code]', 'An error code, such as ERR_DATASET.')
    .addHelpText('after', '\nExamples:\n  voxgrad explain ERR_DATASET\n  voxgrad explain')
  addCommonFlags(command, []).action((given: string | undefined, flags: CommonFlags) => {
    const { json } = makeContext(flags)
    const codes = given === undefined ? errorCodes : [codeOf(given)]
    if (json) {
      for (const code of codes) json.write({ type: 'error_code', code, ...errorCatalogue[code], page: pageOf(code) })
      return
    }
    const width = Math.min(process.stdout.columns || 80, 100)
    const lines = given === undefined ? codes.map(summaryOf) : codes.flatMap((code) => explanationOf(code, width))
    process.stdout.write(`${lines.join('\n')}\n`)
  })
}

const widest = Math.max(...errorCodes.map((code) => code.length))
const summaryOf = (code: ErrorCode): string => `${code.padEnd(widest)}  ${errorCatalogue[code].title}`

function explanationOf(code: ErrorCode, width: number): string[] {
  const { title, meaning, required, remedy, exitCode } = errorCatalogue[code]
  const part = (label: string, text: string) =>
    wrap(text, width - 12).map((line, i) => (i === 0 ? label : '').padEnd(12) + line)
  return [
    `${code}: ${title}`,
    '',
    ...wrap(meaning, width),
    '',
    ...part('Required:', required),
    ...part('Remedy:', remedy),
    ...part('Exit code:', String(exitCode)),
    ...part('Page:', pageOf(code)),
  ]
}

function codeOf(given: string): ErrorCode {
  const upper = given.toUpperCase()
  const code = upper.startsWith('ERR_') ? upper : `ERR_${upper}`
  if (isErrorCode(code)) return code
  const near = nearest(code, errorCodes)
  throw new VoxgradError('ERR_CONFIG', {
    where: 'code',
    required: 'an error code',
    found: `"${given}"`,
    remedy: `${near ? `Did you mean ${near}? ` : ''}\`voxgrad explain\` lists all codes.`,
  })
}
