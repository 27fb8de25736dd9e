// VitePress's own theme without its web font (the reader's fonts do), with a picture on the first page.
import DefaultTheme from 'vitepress/theme-without-fonts'
import { h } from 'vue'
import picture from '../../images/demo.png'
import './site.css'

const description = 'Image, truth and prediction of three cases that a five-minute demo did not train on'

export default {
  extends: DefaultTheme,
  Layout: () =>
    h(DefaultTheme.Layout, null, {
      'home-hero-image': () => h('img', { class: 'home-picture', src: picture, alt: description }),
    }),
}
