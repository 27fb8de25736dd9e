// VitePress's own theme without its web font: the reader's fonts do.
import DefaultTheme from 'vitepress/theme-without-fonts'
import './site.css'

export default DefaultTheme
