// The other side of store.test.ts: answers each message.
import type { RanksConfig } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'

interface Talk {
  group: RanksConfig
  conversations: number
  rounds: number
}

process.once('message', async ({ group, conversations, rounds }: Talk) => {
  const answer = async (conversation: number) => {
    for (let round = 0; round < rounds; round++) {
      const number = `${conversation}/${round}`
      const text = await native().awaitText(group, `ping/${number}`, 60)
      await native().leaveText(group, `pong/${number}`, `${text}, pong ${number}`)
    }
  }
  await Promise.all(Array.from({ length: conversations }, (_, conversation) => answer(conversation)))
  process.exit(0)
})
