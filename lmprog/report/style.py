"""The page's style sheet: light and dark, from 390 to 1280 pixels, with the reader's own fonts."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #fbfaf8; --card: #ffffff; --ink: #1f2328; --soft: #5d6570; --line: #e3e1dc; --accent: #1f6f8b;
  --accent-soft: #d9ebf0; --good: #1d7a4f; --good-soft: #dff2e7; --warn: #96610a; --warn-soft: #faeed4;
  --gone: #a8323a; --gone-soft: #fbe3e3; --empty: #efede8;
  --s0: #d98b5f; --s1: #edc7a2; --s2: #dfe0d0; --s3: #8fbfc4; --s4: #2b7f97;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #15181c; --card: #1c2026; --ink: #e4e6e9; --soft: #9aa3ae; --line: #2f353d; --accent: #6db9d1;
    --accent-soft: #1d3a45; --good: #6fcf9f; --good-soft: #173629; --warn: #e0b35c; --warn-soft: #3a2f17;
    --gone: #f0969a; --gone-soft: #45242a; --empty: #262b32;
    --s0: #a85a32; --s1: #6f4a35; --s2: #4a4e4f; --s3: #36707f; --s4: #5cb3cb;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere; }
main { max-width: 1040px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 1.35rem; font-weight: 600; margin: 0 0 4px; line-height: 1.3; }
h2 { font-size: 1.15rem; font-weight: 600; margin: 44px 0 10px; padding-top: 18px; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; font-weight: 600; margin: 0 0 10px; font-family: ui-monospace, SFMono-Regular, Menlo, Consolas,
  monospace; }
h4 { font-size: .82rem; font-weight: 600; color: var(--soft); margin: 16px 0 6px; }
p { margin: 6px 0 12px; max-width: 72ch; }
.quiet, figcaption { color: var(--soft); font-size: .88rem; }
.headline { display: flex; flex-wrap: wrap; gap: 12px 48px; align-items: center; margin: 20px 0 10px; }
.scores { font-size: 2.9rem; font-weight: 300; line-height: 1.1; margin: 0; font-variant-numeric: tabular-nums; }
.scores b { font-weight: 600; }
.scores span { color: var(--soft); }
.headline svg { width: 360px; max-width: 100%; }
.chip { display: inline-block; border-radius: 999px; padding: 2px 12px; font-size: .88rem; font-weight: 600;
  background: var(--good-soft); color: var(--good); }
.chip.warn { background: var(--warn-soft); color: var(--warn); }
.sentence { font-variant-numeric: tabular-nums; }
.predictor, .panel { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px;
  margin: 14px 0; min-width: 0; }
.sides { display: grid; gap: 0 20px; grid-template-columns: 1fr; }
.sides > div { min-width: 0; }
.text { white-space: pre-wrap; }
.sides .text, .predictor > .text { background: var(--ground); border: 1px solid var(--line); border-radius: 8px;
  padding: 10px 14px; }
del { background: var(--gone-soft); color: var(--gone); text-decoration: line-through; text-decoration-thickness: 1px;
  border-radius: 3px; }
ins { background: var(--good-soft); color: var(--good); text-decoration: none; border-radius: 3px; }
.demos { list-style: none; margin: 0; padding: 0; display: grid; gap: 10px; }
.demos > li { border-left: 3px solid var(--line); padding: 0 0 2px 14px; min-width: 0; }
.demos > li > p { margin: 0 0 2px; }
dl { margin: 0; }
dl > div { display: grid; grid-template-columns: minmax(72px, 130px) 1fr; gap: 4px 14px; padding: 2px 0; }
dt { color: var(--soft); font-size: .88rem; }
dd { margin: 0; min-width: 0; }
dd ol { margin: 0; padding-left: 1.3em; }
.outputs { border-top: 1px dashed var(--line); margin-top: 4px; padding-top: 4px; }
summary { cursor: pointer; }
details[open] > summary { color: var(--soft); }
.costs { display: flex; flex-wrap: wrap; gap: 18px 64px; }
.costs > div { min-width: 0; max-width: 100%; }
.costs h4 { margin-top: 4px; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th { white-space: nowrap; text-align: left; font-weight: 600; color: var(--soft); font-size: .82rem; }
th, td { padding: 5px 18px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
table.wide { min-width: 960px; width: 100%; table-layout: fixed; }
table.wide th:first-child { width: 92px; }
table.wide th:nth-child(2) { width: 52px; }
table.wide th:nth-child(3), table.wide th:nth-child(4) { width: 76px; }
table.wide th:nth-child(5) { width: 32%; }
table.effect { width: 100%; table-layout: fixed; }
table.effect th:nth-child(n+2) { width: 62px; }
table.effect th:last-child { width: 116px; }
table.effect td { padding-right: 12px; overflow-wrap: break-word; }
code { font: .88em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
figure { margin: 14px 0; }
svg { display: block; width: 100%; height: auto; }
svg.bar { width: 100px; height: 10px; margin-top: 7px; border-radius: 3px; }
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
.empty { fill: var(--empty); }
.fill { fill: var(--accent); }
.key { display: inline-block; width: 14px; height: 11px; vertical-align: -1px; }
.keys span { white-space: nowrap; margin-right: 16px; display: inline-block; }
.s0 { stroke: var(--s0); } .s1 { stroke: var(--s1); } .s2 { stroke: var(--s2); } .s3 { stroke: var(--s3); }
.s4 { stroke: var(--s4); }
.narrow { display: block; } .roomy { display: none; }
@media (min-width: 760px) {
  .sides { grid-template-columns: 1fr 1fr; }
  .narrow { display: none; } .roomy { display: block; }
}
@media (max-width: 480px) {
  main { padding: 24px 16px 48px; }
  .predictor, .panel { padding: 14px; }
  .scores { font-size: 2.3rem; }
  dl > div { grid-template-columns: 1fr; gap: 0; }
  table.effect th:nth-child(n+2) { width: 52px; }
  table.effect th:last-child, table.effect td:last-child { display: none; }
  table.effect td { padding-right: 8px; }
}
@media print { .costs { display: flex; flex-wrap: wrap; gap: 18px 64px; }
.costs > div { min-width: 0; max-width: 100%; }
.costs h4 { margin-top: 4px; }
.scroll { overflow: visible; } }
"""
