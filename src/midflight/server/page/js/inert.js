// Makes the text of others harmless to read: what has no visible form stands in a box, U+202E.

import {html} from '../vendor/lit-html/lit-html.js';

const BLANK = '\\u115f\\u1160\\u2800\\u3164\\uffa0';
const UNSEEN = `\\u00ad\\u034f\\u17b4\\u17b5\\u180b-\\u180f\\u{1d173}-\\u{1d17a}\\u{e0100}-\\u{e01ef}`;
const JOINERS = '\\u200c\\u200d\\ufe00-\\ufe0f';

// Of so many blanks what follows would seem to stand alone: their number is shown.
const GAP = '(?<=\\S)[ \\t]{40,}|[ \\t]{100,}';
const PILE = '(?<=\\p{M}{2})\\p{M}+|(?<![^\\s])\\p{M}+';
const CONTROL = '(?![\\n\\t ])[\\p{C}\\p{Z}]';

// In what a person has to approve, everything; in prose, an emoji or a script may need a joiner.
const EXACT = new RegExp(`${GAP}|${PILE}|${CONTROL}|[${BLANK}${UNSEEN}${JOINERS}]`, 'gu');
const PROSE = new RegExp(`${PILE}|(?![${JOINERS}\\u00a0\\u202f\\u2009])${CONTROL}|[${UNSEEN}]`, 'gu');

function named(char) {
  return `U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`;
}

function box(found) {
  if (/^[ \t]+$/.test(found)) {
    return html`<span class="boxed">${[...found].length} × ${named(found)}</span>`;
  }
  return [...found].map((char) => html`<span class="boxed">${named(char)}</span>`);
}

function boxed(text, pattern) {
  pattern.lastIndex = 0;
  if (!pattern.test(text)) return text;
  pattern.lastIndex = 0; // which `matchAll` begins from
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    parts.push(text.slice(from, match.index), box(match[0]));
    from = match.index + match[0].length;
  }
  parts.push(text.slice(from));
  return parts;
}

/** What somebody has to approve: everything invisible is made visible. */
export function exact(text) {
  return boxed(String(text ?? ''), EXACT);
}

/** The same in one line. */
export function exactLine(text) {
  return boxed(String(text ?? ''), EXACT_LINE);
}
const EXACT_LINE = new RegExp(`${EXACT.source}|[\\n\\t]`, 'gu');

/** Text to read: what could deceive is made visible. */
export function inert(text) {
  return boxed(String(text ?? ''), PROSE);
}

/** One plain line, for titles and attributes, where nothing can stand in a box. */
export function plain(text, most = 200) {
  const line = String(text ?? '').replace(PROSE, '').replace(/\s+/gu, ' ').trim();
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

/** How many characters of a text would be boxed. */
export function hiddenIn(text) {
  return (String(text).match(EXACT) ?? []).length;
}
