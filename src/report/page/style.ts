// The report's only style sheet: light and dark by the reader's wish, one column on a phone, and dark ink on paper.

const light = `
--page:#f6f7f9;--card:#fff;--ink:#1c2330;--soft:#5b6472;--rule:#e1e5eb;--grid:#e8ebf0;--accent:#2257c4;
--good:#14733c;--bad:#b42318;--warn:#8a5a00;--good-back:#e5f5ea;--bad-back:#fdecea;--warn-back:#fdf3dc;--plain-back:#e9eefb;
--c1:#d9590b;--c2:#0b86a8;--c3:#5b8c00;--c4:#b02fc4;--c5:#a37800;--c6:#3b6fd9;--c7:#d1344b;--c8:#0f8a66;--mark:#1c2330;`

const dark = `
--page:#11151c;--card:#191f29;--ink:#e6e9ef;--soft:#9aa4b3;--rule:#2c3442;--grid:#262e3b;--accent:#8ab0ff;
--good:#6fd695;--bad:#ff8f85;--warn:#f0c062;--good-back:#16321f;--bad-back:#3b1a18;--warn-back:#362a10;--plain-back:#1d2a45;
--c1:#fb923c;--c2:#38c6e6;--c3:#a3d835;--c4:#e58af5;--c5:#facc15;--c6:#7fa9ff;--c7:#fb7a8a;--c8:#3ddbae;--mark:#fff;`

const colors = Array.from(
  { length: 8 },
  (_, index) => `.c${index + 1}{--color:var(--c${index + 1})}.s${index + 1}{--color:var(--s${index + 1})}`,
).join('')

export const style = `
:root{color-scheme:light dark;--s1:#f97316;--s2:#22d3ee;--s3:#a3e635;--s4:#e879f9;--s5:#facc15;--s6:#60a5fa;--s7:#f87171;--s8:#34d399;${light}}
@media screen and (prefers-color-scheme:dark){:root{${dark}}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1160px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:26px;line-height:1.2;margin:0;overflow-wrap:anywhere}
h2{font-size:19px;margin:40px 0 12px}
h3{font-size:15px;margin:22px 0 8px}
p{margin:8px 0}
.sub{color:var(--soft);margin:6px 0 0;overflow-wrap:anywhere}
.note,.soft{color:var(--soft);font-size:13px}
.head{display:flex;gap:12px;align-items:center;flex-wrap:wrap}
.badge{font-size:13px;font-weight:600;padding:3px 10px;border-radius:99px;background:var(--plain-back);color:var(--accent)}
.badge.finished{background:var(--good-back);color:var(--good)}
.badge.failed{background:var(--bad-back);color:var(--bad)}
.badge.stopped,.badge.killed{background:var(--warn-back);color:var(--warn)}
nav{display:flex;flex-wrap:wrap;gap:4px 16px;margin:16px 0 0;font-size:14px}
a{color:var(--accent);text-decoration:none}
a:hover{text-decoration:underline}
a:focus-visible,summary:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:22px 0 0}
.figures div,.card{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:14px 16px}
.figures dt{color:var(--soft);font-size:13px}
.figures dd{margin:2px 0 0;font-size:21px;font-weight:650;font-variant-numeric:tabular-nums;line-height:1.25}
.figures small{display:block;font-size:12.5px;font-weight:400;color:var(--soft)}
dl{margin:0}
.card{margin:12px 0}
.fault{border-color:var(--bad);background:var(--bad-back)}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.5 ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:5px 10px 5px 0;text-align:left;border-bottom:1px solid var(--rule);vertical-align:top}
th{font-weight:600;color:var(--soft);font-size:13px;white-space:nowrap}
td.n,th.n{text-align:right;padding:5px 0 5px 14px}
td.text{overflow-wrap:anywhere;min-width:9em}
tr:last-child td{border-bottom:0}
.low{color:var(--bad)}
summary{cursor:pointer;padding:8px 0;color:var(--accent)}
@media(min-width:761px){.grid2 h3{margin-top:10px}}
.grid2>*{min-width:0}
.grid2{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:14px}
figure{margin:0}
.chart{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:12px 20px 8px 8px;break-inside:avoid}
.whole{grid-column:1/-1}
.chart figcaption{font-weight:600;padding-left:8px}
.chart figcaption+.plot{margin-top:14px}
.plot{display:flex}
.plot .values{flex:none;overflow:visible}
.plot .lines{overflow:visible;min-width:0;flex:1;display:block}
.plot .lines>svg{overflow:visible}
.ink{--color:var(--ink)}
svg text{fill:var(--soft);font-size:12px;font-variant-numeric:tabular-nums}
section>.grid2+.note{margin-top:10px}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 14px;margin:2px 0 14px;padding:0 0 0 8px;font-size:13px;color:var(--soft);min-height:20px}
.legend svg{margin-right:6px}
.legend li{overflow-wrap:anywhere}
.grid{stroke:var(--grid);stroke-width:1;fill:none;vector-effect:non-scaling-stroke}
.break{stroke:var(--warn);stroke-width:1;stroke-dasharray:4 4;fill:none;vector-effect:non-scaling-stroke}
.line{stroke:var(--color);stroke-width:2;fill:none;stroke-linejoin:round;vector-effect:non-scaling-stroke}
.line.faint{stroke-width:1.3;opacity:.75}
.lines circle{fill:var(--color)}
.lines .mark{fill:var(--card);stroke:var(--mark);stroke-width:2}
.lines .mark-text{fill:var(--ink);font-weight:600;paint-order:stroke;stroke:var(--card);stroke-width:4px;stroke-linejoin:round}
${colors}
.boxes{display:grid;grid-template-columns:minmax(70px,max-content) minmax(0,1fr);gap:18px;padding-right:12px}
.box-labels span{display:block;height:34px;line-height:34px;font-size:13px;max-width:200px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;text-align:right}
.box-area{overflow:visible}
.box .whisker{stroke:var(--color);stroke-width:1.5}
.box rect{fill:var(--color);fill-opacity:.16;stroke:var(--color);stroke-width:1.5;rx:2px}
.box .median{stroke:var(--color);stroke-width:3}
.box circle{fill:var(--color);fill-opacity:.55}
.box .mean{fill:var(--card);stroke:var(--ink);stroke-width:1.3}
.pictures{display:grid;align-items:start;grid-template-columns:repeat(2,minmax(0,1fr));gap:14px}
.picture{background:#0c1017;border:1px solid var(--rule);border-radius:10px;overflow:hidden;color:#e8ebf0;break-inside:avoid}
.picture figcaption{padding:10px 14px 12px;font-size:13px;color:#aeb7c4}
.picture figcaption strong{color:#fff;overflow-wrap:anywhere;font-size:14px}
.picture .pair{display:grid;grid-template-columns:1fr 1fr;gap:2px}
.picture .pair svg{display:block;width:100%;background:#000}
.picture .truth{fill:var(--color);fill-opacity:.32;stroke:none}
.picture .predicted{fill:none;stroke:var(--color);stroke-width:1.8;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.picture .ignored{fill:#8b93a0;fill-opacity:.45}
.picture .dice{color:var(--color);white-space:nowrap;margin-right:12px}
.keys{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;padding:0;margin:0 0 12px;font-size:13px;color:var(--soft)}
.keys i{display:inline-block;width:12px;height:12px;border-radius:3px;background:var(--color);margin-right:6px;vertical-align:-1px}
.pair.stacked{grid-template-columns:1fr!important}
.pair>svg:only-child{grid-column:1/-1}
.pair svg{max-height:440px}
.rank{margin-left:8px;padding:1px 8px;border-radius:99px;border:1px solid #3a4454;font-size:12px}
.veil{--color:#8b93a0}
.same{color:var(--soft)}
footer{overflow-wrap:anywhere;margin-top:44px;padding-top:14px;border-top:1px solid var(--rule);color:var(--soft);font-size:13px}
@media screen and (max-width:760px){main{padding:20px 14px 40px}h1{font-size:21px}.grid2,.pictures{grid-template-columns:minmax(0,1fr)}
.figures{grid-template-columns:repeat(2,minmax(0,1fr));gap:8px}.figures dd{font-size:18px}.chart{padding-right:14px}.card{padding:12px}
.box-labels span{max-width:96px}.boxes{gap:12px}}
@media print{body{background:#fff;font-size:11pt}main{max-width:none;padding:0}nav{display:none}.card,.chart,.figures div{border-color:#ccc}
h2{break-after:avoid}details.prints::details-content{content-visibility:visible;block-size:auto}tr{break-inside:avoid}
.picture,.badge,.box rect,.keys i{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
`
