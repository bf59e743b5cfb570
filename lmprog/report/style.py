"""The page's style sheet: light and dark, from 390 to 1280 pixels and on paper, with the reader's own fonts."""

LIGHT = """
  --ground: #fbfaf8; --card: #ffffff; --ink: #1f2328; --soft: #59616c; --line: #e3e1dc; --accent: #1f6f8b;
  --accent-soft: #d9ebf0; --good: #19683f; --good-soft: #dff2e7; --warn: #84540a; --warn-soft: #faeed4;
  --gone: #9c2f37; --gone-soft: #fbe3e3; --empty: #ebe8e2;
  --s0: #d98b5f; --s1: #edc7a2; --s2: #d3d6c2; --s3: #8fbfc4; --s4: #2b7f97;
"""
DARK = """
  --ground: #15181c; --card: #1c2026; --ink: #e4e6e9; --soft: #a2abb6; --line: #2f353d; --accent: #6db9d1;
  --accent-soft: #1d3a45; --good: #6fcf9f; --good-soft: #173629; --warn: #e0b35c; --warn-soft: #3a2f17;
  --gone: #f0969a; --gone-soft: #45242a; --empty: #2b3038;
  --s0: #b8653a; --s1: #7d5339; --s2: #53585a; --s3: #3a7787; --s4: #5cb3cb;
"""

STYLE = (
    f"""
:root {{ color-scheme: light dark; {LIGHT} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {DARK} }} }}
"""
    + """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere; }
main { max-width: 1040px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 1.35rem; font-weight: 600; margin: 0 0 4px; line-height: 1.3; }
h2 { font-size: 1.15rem; font-weight: 600; margin: 44px 0 10px; padding-top: 18px; border-top: 1px solid var(--line);
  scroll-margin-top: 8px; }
h3 { font-size: 1rem; font-weight: 600; margin: 0 0 10px; font-family: ui-monospace, SFMono-Regular, Menlo, Consolas,
  monospace; }
h3.plain { font-family: inherit; }
h4 { font-size: .82rem; font-weight: 600; color: var(--soft); margin: 16px 0 6px; }
p { margin: 6px 0 12px; max-width: 72ch; }
a { color: var(--accent); text-underline-offset: 3px; text-decoration-thickness: 1px; }
.quiet, figcaption { color: var(--soft); font-size: .88rem; }
figcaption { max-width: 80ch; margin-top: 6px; }
code { font: .88em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }

.headline { display: flex; flex-wrap: wrap; gap: 12px 48px; align-items: center; margin: 20px 0 10px; }
.scores { font-size: 2.9rem; font-weight: 300; line-height: 1.1; margin: 0; font-variant-numeric: tabular-nums; }
.scores b { font-weight: 600; }
.scores span { color: var(--soft); }
.headline svg { width: 360px; max-width: 100%; }
.verdict { font-size: 1.06rem; }
.chip { display: inline-block; border-radius: 999px; padding: 2px 12px; font-size: .88rem; font-weight: 600;
  background: var(--good-soft); color: var(--good); margin-right: 6px; }
.chip.warn { background: var(--warn-soft); color: var(--warn); }
.chip.small { padding: 0 8px; font-size: .78rem; margin: 0; }
.warning { border-left: 3px solid var(--warn); padding: 2px 0 2px 12px; }
.sentence { color: var(--soft); font-variant-numeric: tabular-nums; }
.facts { display: flex; flex-wrap: wrap; gap: 10px 36px; margin: 20px 0 0; }
.facts > div { display: flex; flex-direction: column-reverse; gap: 0; padding: 0; }
.facts dt { font-size: .82rem; }
.facts dd { font-size: 1.15rem; font-weight: 600; font-variant-numeric: tabular-nums; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 26px 0 0; padding: 0; font-size: .88rem; }

.predictor, .panel { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px;
  margin: 14px 0; min-width: 0; }
.sides { display: grid; gap: 0 20px; grid-template-columns: minmax(0, 1fr); }
.text { white-space: pre-wrap; }
.sides .text, .predictor > .text, .diff .text, .messages .text { background: var(--ground); border: 1px solid var(--line);
  border-radius: 8px; padding: 10px 14px; }
.mono { font: .82rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
del { background: var(--gone-soft); color: var(--gone); text-decoration: line-through; text-decoration-thickness: 1px;
  border-radius: 3px; }
ins { background: var(--good-soft); color: var(--good); text-decoration: none; border-radius: 3px; }
.demos, .messages { list-style: none; margin: 0; padding: 0; display: grid; gap: 10px; grid-template-columns: minmax(0, 1fr); }
.demos > li { border-left: 3px solid var(--line); padding: 0 0 2px 14px; min-width: 0; }
.demos > li > p, .messages > li > p { margin: 0 0 2px; }
.messages { margin-top: 8px; }
dl { margin: 0; }
dl > div { display: grid; grid-template-columns: minmax(72px, 130px) minmax(0, 1fr); gap: 4px 14px; padding: 2px 0; }
dt { color: var(--soft); font-size: .88rem; }
dd { margin: 0; min-width: 0; }
dd ol { margin: 0; padding-left: 1.3em; }
.glossary { font-size: .88rem; color: var(--soft); }
.outputs { border-top: 1px dashed var(--line); margin-top: 4px; padding-top: 4px; }
summary { cursor: pointer; }
summary:hover { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
details > summary { color: var(--accent); }
dd details > summary { color: inherit; }
.predictor > details { margin-top: 14px; }
.demos + details { margin-top: 10px; }
.demos + details > .demos { margin-top: 10px; }

.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th { white-space: nowrap; text-align: left; font-weight: 600; color: var(--soft); font-size: .82rem; }
th, td { padding: 5px 18px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: break-word; }
th:last-child, td:last-child { padding-right: 0; }
table.figures td { white-space: nowrap; }
table.figures td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 170px; }
table.cost td:first-child { white-space: nowrap; min-width: 0; }
table.figures th:nth-child(n+2), table.figures td:nth-child(n+2) { text-align: right; }
table.reasons { width: 100%; min-width: 560px; }
table.reasons td:not(:has(bdi)) { white-space: nowrap; }
table.effect { width: 100%; table-layout: fixed; }
table.effect th:nth-child(n+2) { width: 62px; }
table.effect th:last-child { width: 100px; }
table.effect td { padding-right: 12px; }
table.effect td:last-child { padding-right: 0; }

.stages { list-style: none; margin: 14px 0 0; padding: 0; }
.stages > li { display: grid; grid-template-columns: 118px 220px 92px minmax(0, 1fr); gap: 0 16px; padding: 6px 0;
  border-bottom: 1px solid var(--line); font-size: .9rem; align-items: baseline; }
.stages .calls { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.stages .found { color: var(--soft); }
.stages .fact { grid-column: 2 / -1; margin: 4px 0 2px; }

.family { margin: 22px 0; }
.family > h3 { margin-bottom: 2px; }
.family > p { margin: 0; }
.way { list-style: none; margin: 0; padding: 0; }
.way > li { border-left: 2px solid var(--good); padding: 2px 0 14px 16px; }
.way > li:last-child { padding-bottom: 2px; }
.tree { list-style: none; margin: 4px 0 0; padding: 0; }
.tree > li { border-bottom: 1px solid var(--line); padding: 5px 0; min-width: 0; }
:is(.tree, .way) details:not(.between) > summary { color: inherit; display: grid; grid-template-columns: 14px minmax(0, 1fr); list-style: none; }
:is(.tree, .way) details:not(.between) > summary::-webkit-details-marker { display: none; }
:is(.tree, .way) details:not(.between) > summary::before { content: "▸"; color: var(--soft);
  font-size: .7em; line-height: 2.1; }
:is(.tree, .way) details[open]:not(.between) > summary::before { content: "▾"; }
:is(.tree, .way) .leaf { padding-left: 14px; }
.line { display: grid; grid-template-columns: 116px 216px minmax(0, 1fr); gap: 2px 12px; align-items: baseline;
  font-size: .92rem; }
.change { display: block; }
.chip.small + .change { display: inline; }
.words > small { display: block; font-size: .86em; }
.number, .score { font-variant-numeric: tabular-nums; }
.number { white-space: nowrap; }
.score { display: grid; grid-template-columns: 38px 80px minmax(0, 1fr); gap: 8px; align-items: baseline; }
.score small { color: var(--soft); white-space: nowrap; }
.score svg.bar { width: 80px; margin: 0; align-self: center; }
.way .line { grid-template-columns: 48px 216px minmax(0, 1fr); }
.level1 .number { padding-left: 10px; } .level2 .number { padding-left: 22px; } .level3 .number { padding-left: 34px; }
.level4 .number { padding-left: 46px; } .level5 .number { padding-left: 58px; }
.tree > li:not(.level0) .number::before { content: "└ "; color: var(--soft); font-weight: 400; }
.diff { margin: 4px 0 10px; padding-left: 14px; font-size: .92rem; }
.way .diff { padding-left: 0; }
.diff h4 { margin-top: 8px; }
.short { margin: 0; padding-left: 1.4em; }

figure { margin: 14px 0; }
svg { display: block; width: 100%; height: auto; }
svg.bar { width: 100px; height: 10px; margin-top: 7px; border-radius: 3px; }
td svg.bar { display: inline-block; margin: 0 4px 0 0; }
svg.stretch { width: 100%; height: 10px; border-radius: 3px; display: inline-block; }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; fill: var(--soft);
  font-variant-numeric: tabular-nums; white-space: pre; }
svg text.strong { fill: var(--ink); font-weight: 600; }
svg text.strong, svg text.halo { paint-order: stroke; stroke: var(--ground); stroke-width: 4px; stroke-linejoin: round; }
.axis, .grid { stroke: var(--line); }
.zero { stroke: var(--soft); stroke-dasharray: 3 3; }
.range { stroke: var(--accent); stroke-width: 5; stroke-linecap: round; opacity: .45; }
.gain { fill: var(--accent); }
.baseline { stroke: var(--soft); stroke-dasharray: 5 4; }
.part { fill: var(--accent); fill-opacity: .12; stroke: var(--accent); stroke-opacity: .65; }
.full { fill: var(--accent); fill-opacity: .8; }
.leader { fill: none; stroke: var(--good); stroke-width: 2; }
.whisker { stroke: var(--good); stroke-width: 1.2; opacity: .7; }
.tie { fill: none; stroke: var(--soft); stroke-width: 1; opacity: .3; }
.tie.way { stroke: var(--good); stroke-width: 2; opacity: 1; }
.member { fill: var(--accent); fill-opacity: .7; }
.on-way { fill: var(--good); }
.empty { fill: var(--empty); }
.fill { fill: var(--accent); }
.loss { fill: var(--s0); }
.middle { stroke: var(--soft); }
.key { display: inline-block; width: 14px; height: 11px; vertical-align: -1px; }
.keys span { white-space: nowrap; margin-right: 16px; display: inline-block; }
.s0 { stroke: var(--s0); } .s1 { stroke: var(--s1); } .s2 { stroke: var(--s2); } .s3 { stroke: var(--s3); }
.s4 { stroke: var(--s4); }
.narrow { display: block; } .roomy { display: none; }
@media (min-width: 760px) {
  .sides { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
  .choices { display: grid; gap: 0 16px; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); align-items: start; }
  .narrow { display: none; } .roomy { display: block; }
}
@media (max-width: 759px) {
  .stages > li { grid-template-columns: minmax(0, 1fr) 96px 100px; }
  .stages .found, .stages .fact { grid-column: 1 / -1; }
  .line, .way .line { grid-template-columns: auto minmax(0, 1fr); }
  .line .words { grid-column: 1 / -1; }
  .level1 .number { padding-left: 6px; } .level2 .number { padding-left: 12px; } .level3 .number { padding-left: 18px; }
  .level4 .number { padding-left: 24px; } .level5 .number { padding-left: 30px; }
}
@media (max-width: 480px) {
  main { padding: 24px 16px 48px; }
  .predictor, .panel { padding: 14px; }
  .scores { font-size: 2.3rem; }
  dl > div { grid-template-columns: minmax(0, 1fr); gap: 0; }
  .facts { gap: 10px 28px; }
  .diff { padding-left: 0; }
  table.figures svg.bar { display: none; }
  table.cost th:nth-child(3), table.cost td:nth-child(3) { display: none; }
  table.figures th, table.figures td { padding-right: 12px; }
  table.effect th:nth-child(n+2) { width: 52px; }
  table.effect th:last-child, table.effect td:last-child { display: none; }
  table.effect td { padding-right: 8px; }
}
@media print {
  :root { color-scheme: light; }
  body { font-size: 11pt; background: none; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  .scroll { overflow: visible; }
  .predictor, .panel, figure, tr, .tree > li, .stages > li { break-inside: avoid; }
  .predictor { break-inside: auto; }
  h2, h3, h4 { break-after: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
)
