"""How dashboard and explorers look: one style sheet, in the colours of JupyterLab's theme."""

STYLE = """<style>
.wb-dashboard, .wb-explorer {
  --wb-text: var(--jp-ui-font-color1, #222);
  --wb-quiet: var(--jp-ui-font-color2, #666);
  --wb-line: var(--jp-border-color2, #d0d0d0);
  --wb-ground: var(--jp-layout-color1, #fff);
  --wb-accent: #0072B2;
  box-sizing: border-box; width: 100%; max-width: 1034px; padding: 14px 16px 16px; gap: 10px;
  color: var(--wb-text); background: var(--wb-ground);
  border: 1px solid var(--wb-line); border-radius: 8px;
  font: 13px/1.5 var(--jp-ui-font-family, system-ui, sans-serif);
}
.wb-dashboard .widget-html-content, .wb-dashboard .widget-html { line-height: 1.5; margin: 0; }
.wb-dashboard .widget-html-content { width: 100%; }
.wb-dashboard .wb-style, .wb-explorer .wb-style { display: none; }
:is(.wb-dashboard, .wb-explorer) .wb-row {
  gap: 8px 16px; flex-wrap: wrap; align-items: center; overflow: visible;
}
.wb-dashboard .wb-row > *, .wb-explorer .wb-row > * { margin: 0; }
.wb-explorer > .wb-row {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(310px, 1fr)); width: 100%;
}
.wb-explorer > .wb-row > * { width: auto; min-width: 0; }
.wb-explorer > .wb-row > .wb-wide { grid-column: 1 / -1; }
.wb-explorer .widget-inline-hbox .widget-label { flex: 0 0 138px; text-align: left; }
.wb-explorer .wb-figure {
  width: auto; max-width: 100%; height: auto; align-self: flex-start; margin: 0; border-radius: 4px;
}
.wb-explorer .wb-text, .wb-explorer .wb-text .widget-html-content { width: 100%; margin: 0; }
:is(.wb-dashboard, .wb-explorer) .widget-label {
  width: auto; min-width: 0; color: var(--wb-quiet);
}
.wb-settings .wb-beta { flex: 1 1 300px; }
.wb-settings .wb-lr { flex: 1 1 340px; }
.wb-settings .wb-loss { flex: 0 0 180px; }
.wb-dashboard .wb-about-loss { color: var(--wb-quiet); min-height: 20px; }
.wb-drive button { width: 84px; border-radius: 4px; }
.wb-drive .wb-start { background: var(--wb-accent); color: #fff; font-weight: 600; }
.wb-drive .wb-runs { width: 260px; margin-left: auto; }
.wb-statuses .wb-status {
  display: flex; align-items: center; gap: 12px; height: 24px; white-space: nowrap;
  font-variant-numeric: tabular-nums;
}
.wb-status progress {
  flex: 0 0 150px; height: 6px; appearance: none; border: 0; border-radius: 3px;
  background: var(--wb-line); overflow: hidden;
}
.wb-status progress::-webkit-progress-bar { background: var(--wb-line); }
.wb-status progress::-webkit-progress-value { background: var(--wb-accent); }
.wb-status progress::-moz-progress-bar { background: var(--wb-accent); }
.wb-status span { overflow: hidden; text-overflow: ellipsis; }
.wb-dashboard .wb-picture {
  width: 100%; max-width: 1000px; height: auto; aspect-ratio: 1000 / 520;
  margin: 0; border-radius: 4px;
}
.wb-dashboard h3 { font-size: 14px; font-weight: 600; margin: 6px 0 0; }
.wb-ask .wb-prompt { flex: 1 1 380px; height: 56px; }
.wb-ask .wb-prompt textarea { height: 100%; }
.wb-ask .wb-temperature { width: 230px; }
.wb-ask .wb-seed { width: 110px; }
.wb-ask .wb-generate { width: 100px; border-radius: 4px; }
.wb-panes { display: flex; gap: 12px; }
.wb-pane {
  flex: 1 1 0; min-width: 0; height: 108px; overflow: auto; padding: 8px 12px;
  border: 1px solid var(--wb-line); border-radius: 6px;
}
.wb-pane h4 { font-size: 12px; font-weight: 600; color: var(--wb-quiet); margin: 0 0 2px; }
.wb-pane p { margin: 0; overflow-wrap: anywhere; }
.wb-dashboard .wb-samples { height: 190px; overflow: auto; }
.wb-dashboard table { width: 100%; font-size: 13px; margin: 0; }
.wb-dashboard th, .wb-dashboard td { border-bottom: 1px solid var(--wb-line); background: none; }
.wb-dashboard th { font-weight: 600; color: var(--wb-quiet); }
.wb-dashboard ins, .wb-dashboard del { color: inherit; border-radius: 2px; }
.wb-problem:not(:has(.wb-error)) { display: none; }
.wb-error {
  border-left: 4px solid #D55E00; background: rgba(213, 94, 0, 0.12); padding: 8px 12px;
  border-radius: 4px; overflow-wrap: anywhere;
}
.wb-error pre { color: inherit; background: none; max-height: 240px; overflow: auto; }
.wb-facts { color: var(--wb-quiet); font-size: 12px; min-height: 18px; }
.wb-facts code { color: inherit; background: none; }
.wb-facts summary { cursor: pointer; }
</style>"""
