"""The style sheet of the page, in light and dark; it loads no file."""

from __future__ import annotations

import base64
import hashlib

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #ffffff; --raised: #f5f7f9; --line: #d9dee4; --text: #1c2329; --faint: #58636e;
  --now: #6b7f94; --comes: #e08a1e; --goes: #2a9d6f; --track: #e6eaee; --note: #fff6e0; --note-line: #e3b341;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0f1419; --raised: #171e25; --line: #2c3640; --text: #dfe6ec; --faint: #93a1ae;
    --now: #7f93a8; --comes: #f0a341; --goes: #3fbf8b; --track: #27313b; --note: #2a2410; --note-line: #8a6d1d;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 92rem; padding: 2rem 1.5rem 4rem; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.8rem 0 .5rem; }
p { margin: .3rem 0 .8rem; max-width: 52rem; }
.faint, caption, .legend { color: var(--faint); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(12.5rem, 1fr)); gap: .8rem; margin: 1.4rem 0 0;
  padding: 0; }
.tiles > div { background: var(--raised); border: 1px solid var(--line); border-radius: .6rem; padding: .7rem .9rem; }
.tiles dt { color: var(--faint); font-size: .85rem; }
.tiles dd { margin: .1rem 0 0; font-size: 1.3rem; font-weight: 600; }
.tiles dd span { font-size: .85rem; font-weight: 400; color: var(--faint); display: block; }
.notes { background: var(--note); border-left: .25rem solid var(--note-line); border-radius: .3rem;
  padding: .6rem 1rem .6rem 2rem; margin: 1.4rem 0 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 0 0 .4rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; unicode-bidi: isolate; }
th { font-weight: 600; white-space: nowrap; }
thead th { color: var(--faint); font-size: .8rem; }
tbody th { font-weight: 500; white-space: normal; min-width: 9rem; }
.number { text-align: right; white-space: nowrap; width: 1%; }
.kind { min-width: 9.5rem; }
.level { white-space: nowrap; min-width: 10.5rem; }
.level svg { vertical-align: -1px; margin-right: .5rem; }
.why { min-width: 22rem; }
svg .track { fill: var(--track); } svg .now { fill: var(--now); } svg .comes { fill: var(--comes); }
svg .goes { fill: var(--goes); }
.legend span { margin-right: 1.2rem; white-space: nowrap; } .legend svg { vertical-align: -1px; margin-right: .35rem; }
code { font: .86em/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
details > summary { cursor: pointer; }
details.group { border: 1px solid var(--line); border-radius: .6rem; margin: .7rem 0; padding: .6rem .9rem;
  background: var(--raised); }
details.group > summary { font-weight: 600; }
details.group > summary span { font-weight: 400; color: var(--faint); }
details.group[open] > summary { margin-bottom: .7rem; }
td code { color: var(--faint); white-space: nowrap; } li code { white-space: normal; }
td ul { margin: .3rem 0 .2rem; padding-left: 1.1rem; }
dl.settings { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: .1rem 1.5rem;
  font-size: .9rem; }
dl.settings div { display: flex; justify-content: space-between; padding: .2rem 0;
  border-bottom: 1px solid var(--line); }
dl.settings dd { margin: 0; }
@media print { body { max-width: none; padding: 0; } details.group { break-inside: avoid; } }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
"""The Content-Security-Policy: this one style, and nothing else."""
