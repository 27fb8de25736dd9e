// Tests run in forked processes: a native crash then fails one file, not the run.
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: { pool: 'forks', include: ['test/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 120_000, maxWorkers: 2 },
})
