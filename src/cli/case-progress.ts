// Progress over cases, as import, plan and preprocess report it.
import type { JsonLines } from '../report/json.js'
import type { View } from '../report/view.js'

/** The fields of a progress report that are shown. */
interface CaseProgress {
  done: number
  total: number
  secondsLeft?: number
  caseId?: string
}

/** A listener that shows progress as a bar with the time left, and as JSON lines. */
export function caseProgress(title: string, view: View, json: JsonLines | undefined): (progress: CaseProgress) => void {
  return ({ done, total, secondsLeft, caseId }) => {
    json?.writeProgress({ type: 'progress', job: title, done, total, secondsLeft: secondsLeft ?? null })
    const detail = caseId === undefined ? {} : { detail: caseId }
    view.progress({ title, done, total, unit: 'case', ...detail, secondsLeft: secondsLeft ?? null })
  }
}
