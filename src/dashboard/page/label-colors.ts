// Colors of labels over gray images: those of the charts' dark theme, which stand out from black as well as from white.
export type Rgb = [number, number, number]

const classes: Rgb[] = [
  [110, 160, 255],
  [251, 146, 60],
  [45, 212, 191],
  [192, 132, 252],
  [244, 114, 182],
  [163, 230, 53],
  [56, 189, 248],
  [214, 211, 209],
]

/** @param label from 1 */
export const classColors = (label: number): Rgb => classes[(label - 1) % classes.length] as Rgb

const errors: Rgb[] = [
  [255, 84, 84],
  [255, 214, 64],
  [236, 96, 255],
]

/** Of differences(): missed, too much, another class. */
export const errorColors = (kind: number): Rgb => errors[(kind - 1) % errors.length] as Rgb
