// Small helpers to make and find elements.

type Child = Node | string | null | undefined | false

interface Properties {
  class?: string
  title?: string
  type?: string
  hidden?: boolean
  disabled?: boolean
  checked?: boolean
  value?: string
  href?: string
  /** Any attribute: role, aria-label, ... */
  attributes?: Record<string, string>
  /** Custom properties of style, which the content security policy allows to scripts. */
  style?: Record<string, string>
  on?: { [Name in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Name]) => void }
}

/** Makes an element; text is never read as HTML. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  { class: className, attributes, style, on, ...rest }: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag)
  if (className !== undefined) made.className = className
  for (const [name, value] of Object.entries(attributes ?? {})) made.setAttribute(name, value)
  Object.assign(made, rest)
  for (const [name, value] of Object.entries(style ?? {})) made.style.setProperty(name, value)
  for (const [name, listener] of Object.entries(on ?? {})) made.addEventListener(name, listener as EventListener)
  made.append(
    ...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false),
  )
  return made
}

/** An element of index.html. */
export function find<Kind extends HTMLElement = HTMLElement>(id: string): Kind {
  const found = document.getElementById(id)
  if (!found) throw new Error(`#${id} is missing`)
  return found as Kind
}

/** Sets text only where it differs, so that selections and screen readers are left alone. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text
}
