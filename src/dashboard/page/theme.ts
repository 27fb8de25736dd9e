// Light, dark, or as the system has it; kept for the next visit.
import { setText } from './dom.js'

const choices = ['auto', 'light', 'dark'] as const
type Choice = (typeof choices)[number]
const storageKey = 'voxgrad-theme'

/** @param changed is called when colors are others */
export function setUpTheme(button: HTMLButtonElement, changed: () => void): void {
  const saved = localStorage.getItem(storageKey) as Choice | null
  let choice: Choice = saved && choices.includes(saved) ? saved : 'auto'
  const apply = () => {
    document.documentElement.dataset.theme = choice
    setText(button, `Theme: ${choice}`)
    changed()
  }
  button.addEventListener('click', () => {
    choice = choices[(choices.indexOf(choice) + 1) % choices.length] as Choice
    localStorage.setItem(storageKey, choice)
    apply()
  })
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed)
  apply()
}
