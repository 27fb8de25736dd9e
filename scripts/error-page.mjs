// Writes docs/errors.md from the error catalogue (dist/ must be built).
//   node scripts/error-page.mjs [--check]     check: exit 1 where the page is not what it would write
import { readFileSync, writeFileSync } from 'node:fs'
import { errorCatalogue } from '../dist/error-catalogue.js'

const file = new URL('../docs/errors.md', import.meta.url)

const introduction = `# Errors

Every error of voxgrad has a code. On the terminal it says what was found, what is required and what to do:

\`\`\`
error: Dataset 77 was not found: there is Dataset004_Hippocampus in /data/raw
  Required: an id (4 or 004) or a full name (Dataset004_NAME) that one folder has
  Remedy:   Check the id and nnUNet_raw; \`voxgrad import FOLDER --id N\` brings a
            Medical Segmentation Decathlon task in.
  More:     voxgrad explain ERR_DATASET_NOT_FOUND
\`\`\`

With \`--json\` the same is one object on stdout: \`{"type":"error","code":..,"message":..,"where":..,"found":..,"required":..,
"remedy":..,"page":..}\`; \`message\` is complete in itself, and only \`where\` may be missing. In the package it is a
\`VoxgradError\` with these properties and \`exitCode\`. \`voxgrad explain CODE\` prints an entry of this page, and
[\`voxgrad doctor\`](doctor.md) looks for what is missing on a machine.

Codes are stable: scripts may rely on them. With \`VOXGRAD_DEBUG=1\` in the environment, the stack is printed as well.
`

const entries = Object.entries(errorCatalogue)
const table = [
  '| code | what happened | exit code |',
  '| --- | --- | --- |',
  ...entries.map(([code, { title, exitCode }]) => `| [${code}](#${code}) | ${title} | ${exitCode} |`),
].join('\n')
const sections = entries.map(
  ([code, { title, meaning, required, remedy, exitCode }]) => `<a id="${code}"></a>

## ${code}: ${title}

${meaning}

- Required: ${required}
- Remedy: ${remedy}
- Exit code: ${exitCode}
`,
)
const page = [introduction, `${table}\n`, ...sections].join('\n')

if (!process.argv.includes('--check')) writeFileSync(file, page)
else if (readFileSync(file, 'utf8') !== page) {
  console.error('docs/errors.md is not what the catalogue says: run `node scripts/error-page.mjs`')
  process.exit(1)
}
