// Unified diffs: read by the counts of their hunks, so that no line of a file passes for a header.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {highlightedLines} from './highlight.js';
import {exact} from './inert.js';

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)$/;

/**
 * Read a diff. Returns files: `{path, old, status, plus, minus, note, hunks}`; a hunk has `rows`:
 * `{kind, old, new, text}` with kind ` `, `-` or `+`, and its numbers in the old and new file.
 * `loose` has the lines that belong to no hunk and are no header.
 */
export function parsed(diff, path = '') {
  const files = [];
  let file = null;
  let hunk = null;
  let left = null; // lines of the hunk that are still to come
  const begin = (name) => {
    file = {path: name, old: name, status: 'M', plus: 0, minus: 0, note: '', loose: [], hunks: []};
    files.push(file);
    hunk = null;
  };
  const lines = diff.split('\n');
  if (lines.at(-1) === '') lines.pop();
  for (const line of lines) {
    if (left && (left.old > 0 || left.new > 0) && /^[ +-]|^$/.test(line)) {
      const kind = line[0] ?? ' ';
      hunk.rows.push({kind, old: kind === '+' ? null : hunk.old++, new: kind === '-' ? null : hunk.new++, text: line.slice(1)});
      if (kind !== '+') left.old -= 1;
      if (kind !== '-') left.new -= 1;
      if (kind === '+') file.plus += 1;
      if (kind === '-') file.minus += 1;
      continue;
    }
    const at = HUNK.exec(line);
    if (at) {
      if (!file) begin(path);
      hunk = {old: Number(at[1]), new: Number(at[3]), about: at[5].trim(), rows: []};
      left = {old: Number(at[2] ?? 1), new: Number(at[4] ?? 1)};
      file.hunks.push(hunk);
    } else if (line.startsWith('\\') && hunk?.rows.length) hunk.rows.at(-1).noEnd = true;
    else if (line.startsWith('diff --git ')) {
      left = null;
      begin(line.slice(11).replace(/^.* b\//, ''));
    } else if (line.startsWith('--- ')) {
      left = null;
      if (!file || file.hunks.length) begin(path || named(line));
      file.old = named(line);
      if (file.old === '/dev/null') file.status = 'A';
    } else if (line.startsWith('+++ ')) {
      if (named(line) === '/dev/null') file.status = 'D';
      else file.path = path || named(line);
    } else if (file && /^(new file|deleted file|rename|copy|similarity|old mode|new mode|Binary)/.test(line)) {
      if (line.startsWith('new file')) file.status = 'A';
      if (line.startsWith('deleted file')) file.status = 'D';
      if (line.startsWith('rename to')) Object.assign(file, {status: 'R', path: line.slice(10)});
      if (line.startsWith('rename from')) file.old = line.slice(12);
      if (line.startsWith('Binary')) file.note = 'not text';
      if (/^(old|new) mode/.test(line)) file.note = `${file.note} ${line}`.trim();
    } else if (!line.startsWith('index ')) {
      if (!file) begin(path);
      file.loose.push(line);
    }
  }
  for (const each of files) for (const {rows} of each.hunks) pair(rows);
  return files;
}

const read = new WeakMap();

/** The files of an edit's diff, which is read once. */
export function filesOf(effect) {
  if (!read.has(effect)) read.set(effect, parsed(effect.diff, effect.path));
  return read.get(effect);
}

function named(line) {
  return line.slice(4).split('\t')[0].replace(/^"(.*)"$/, '$1').replace(/^[ab]\//, '');
}

/** What differs between two lines: the words between what both begin and end with. */
function differs(before, after) {
  let from = 0;
  while (from < before.length && before[from] === after[from]) from += 1;
  let end = 0;
  while (end < before.length - from && end < after.length - from && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const word = /[\p{L}\p{N}_]/u;
  while (from > 0 && word.test(before[from - 1]) && word.test(before[from] ?? after[from] ?? '')) from -= 1;
  const tail = (text) => text.length - end;
  while (end > 0 && word.test(before[tail(before)]) && word.test(before[tail(before) - 1] ?? after[tail(after) - 1] ?? '')) end -= 1;
  const share = Math.max(before.length, after.length) - from - end;
  return share > 0.7 * Math.max(before.length, after.length) ? null : [from, end];
}

/** Pair the removed and the added lines that follow each other, and mark what differs in them. */
function pair(rows) {
  for (let at = 0; at < rows.length; at += 1) {
    if (rows[at].kind !== '-') continue;
    let minus = at;
    while (rows[minus]?.kind === '-') minus += 1;
    let plus = minus;
    while (rows[plus]?.kind === '+') plus += 1;
    if (plus - minus === minus - at) {
      for (let step = 0; step < minus - at; step += 1) {
        const span = differs(rows[at + step].text, rows[minus + step].text);
        if (span) rows[at + step].span = rows[minus + step].span = span;
      }
    }
    at = plus - 1;
  }
}

/** The text of a row: in colours, or with what differs marked. */
function content(row, coloured) {
  const whole = exact(row.text);
  if (typeof whole !== 'string') return whole; // something in it has no visible form: that matters more
  if (row.span) {
    const [from, end] = row.span;
    const {text} = row;
    return html`${exact(text.slice(0, from))}<mark>${exact(text.slice(from, text.length - end))}</mark>${exact(text.slice(text.length - end))}`;
  }
  return coloured ?? whole;
}

const NO_END = html`<span class="ink3"> no newline at the end</span>`;
const CLASSES = {'+': 'added', '-': 'removed', ' ': ''};
const SAYS = {'+': 'added', '-': 'removed', ' ': ''};

/** The coloured lines of a hunk: those of the old and of the new text, each in its own order. */
function coloursOf(rows, path) {
  const old = highlightedLines(rows.filter((row) => row.kind !== '+').map((row) => row.text).join('\n'), path);
  const fresh = highlightedLines(rows.filter((row) => row.kind !== '-').map((row) => row.text).join('\n'), path);
  let o = 0;
  let n = 0;
  return rows.map((row) => {
    const text = row.kind === '-' ? old[o] : fresh[n];
    if (row.kind !== '+') o += 1;
    if (row.kind !== '-') n += 1;
    return text;
  });
}

/** A whole diff of one file, one line below the other; `extra(row)` may put something below a row. */
export function unified(file, {extra = () => nothing, press = null} = {}) {
  return html`<div class="diff" role="table" aria-label="what changes">${file.hunks.map((hunk, index) => {
    const {rows} = hunk;
    const coloured = coloursOf(rows, file.path);
    return html`${index || hunk.about ? html`<div class="between" role="row"><span role="cell">${exact(hunk.about || '…')}</span></div>` : nothing}${rows.map((row, at) => html`<div class="diff-row ${CLASSES[row.kind]}" role="row" @click=${press ? () => press(row) : null}><span class="number" role="cell">${row.old ?? ''}</span><span class="number" role="cell">${row.new ?? ''}</span><span class="sign" role="cell"><span aria-hidden="true">${row.kind}</span><span class="hidden">${SAYS[row.kind]}</span></span><code role="cell">${content(row, coloured[at])}${row.noEnd ? NO_END : nothing}</code></div>${extra(row)}`)}`;
  })}</div>`;
}

/** The same with the old text at the left and the new one at the right. */
export function sideBySide(file, {extra = () => nothing, press = null} = {}) {
  return html`<div class="diff sides" role="table" aria-label="what changes, side by side">${file.hunks.map((hunk, index) => {
    const {rows} = hunk;
    const coloured = coloursOf(rows, file.path);
    return html`${index || hunk.about ? html`<div class="between" role="row"><span role="cell">${exact(hunk.about || '…')}</span></div>` : nothing}${sides(rows, coloured).map(([left, right]) => html`<div class="diff-row" role="row">${half(left, 'old', press)}${half(right, 'new', press)}</div>${left && left !== right ? extra(left.row) : nothing}${right ? extra(right.row) : nothing}`)}`;
  })}</div>`;
}

function half(side, which, press) {
  if (!side) return html`<span class="number" role="cell"></span><span class="sign empty" role="cell"></span><code class="empty" role="cell"></code>`;
  const {row, text} = side;
  const kind = CLASSES[row.kind];
  return html`<span class="number ${kind}" role="cell">${row[which] ?? ''}</span><span class="sign ${kind}" role="cell"><span aria-hidden="true">${row.kind}</span><span class="hidden">${SAYS[row.kind]}</span></span><code class=${kind} role="cell" @click=${press ? () => press(row) : null}>${content(row, text)}${row.noEnd ? NO_END : nothing}</code>`;
}

function sides(rows, coloured) {
  const pairs = [];
  for (let at = 0; at < rows.length;) {
    if (rows[at].kind === ' ') {
      const same = {row: rows[at], text: coloured[at]};
      pairs.push([same, same]);
      at += 1;
      continue;
    }
    const left = [];
    const right = [];
    for (; at < rows.length && rows[at].kind !== ' '; at += 1) (rows[at].kind === '-' ? left : right).push({row: rows[at], text: coloured[at]});
    for (let step = 0; step < Math.max(left.length, right.length); step += 1) pairs.push([left[step] ?? null, right[step] ?? null]);
  }
  return pairs;
}
