// Every page of docs/ stands in the site's sidebar; building the site (npm run docs) checks the rest.
import { expect, test } from 'vitest'

test('every page is in a group of docs/.vitepress/groups.mjs', async () => {
  const { forgottenPages, groups } = await import(new URL('../../docs/.vitepress/groups.mjs', import.meta.url).href)
  expect(forgottenPages()).toEqual([])
  const names = groups.flatMap((group: { pages: string[] }) => group.pages)
  expect(new Set(names).size).toBe(names.length)
})
