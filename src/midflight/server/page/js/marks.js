// The marks of states, and the icons: shape and word say it, colour repeats it.

import {html, nothing, svg} from '../vendor/lit-html/lit-html.js';

const SHAPES = {
  waits: svg`<circle cx="8" cy="8" r="7.2" class="wait-disc"/><path d="M6.1 6.3c0-1.2.9-1.9 1.950-1.9s1.950.7 1.950 1.8c0 1.4-1.9 1.5-1.9 2.9" fill="none" stroke="#2a1800" stroke-width="1.5" stroke-linecap="round"/><circle cx="8.1" cy="11.6" r=".95" fill="#2a1800"/>`,
  running: svg`<g class="turning"><path d="M8 2.2a5.8 5.8 0 1 0 5.8 5.8" fill="none" stroke="currentcolor" stroke-width="1.9" stroke-linecap="round"/></g><circle cx="8" cy="8" r="1.9" fill="currentcolor"/>`,
  retry: svg`<path d="M13.3 8A5.3 5.3 0 1 1 11.5 4" fill="none" stroke="currentcolor" stroke-width="1.8" stroke-linecap="round"/><path d="M11.9.9v3.5H8.4" fill="none" stroke="currentcolor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"/>`,
  held: svg`<rect x="1.8" y="1.8" width="12.4" height="12.4" rx="3" fill="none" stroke="currentcolor" stroke-width="1.6"/><path d="M6.2 5.5v5M9.8 5.5v5" stroke="currentcolor" stroke-width="1.7" stroke-linecap="round"/>`,
  done: svg`<circle cx="8" cy="8" r="6.3" fill="none" stroke="currentcolor" stroke-width="1.6"/><path d="m5.2 8.2 2 2 3.7-4.2" fill="none" stroke="currentcolor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round"/>`,
  rest: svg`<path d="M4 8h8" stroke="currentcolor" stroke-width="1.8" stroke-linecap="round"/>`,
  limit: svg`<path d="M2 8h8M7 4.5 10.5 8 7 11.5M13.3 3.5v9" fill="none" stroke="currentcolor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"/>`,
  failed: svg`<path d="M8 1.4 15 14H1z" fill="currentcolor" stroke="currentcolor" stroke-width="1.2" stroke-linejoin="round"/><path d="M8 6v3.6" stroke="var(--surface)" stroke-width="1.7" stroke-linecap="round"/><circle cx="8" cy="11.7" r=".95" fill="var(--surface)"/>`,
  ended: svg`<path d="m4 4 8 8M12 4l-8 8" stroke="currentcolor" stroke-width="1.7" stroke-linecap="round"/>`,
  pending: svg`<circle cx="8" cy="8" r="5.6" fill="none" stroke="currentcolor" stroke-width="1.5"/>`,
  unsent: svg`<circle cx="8" cy="8" r="5.6" fill="none" stroke="currentcolor" stroke-width="1.6" stroke-dasharray="2 2"/>`,
  half: svg`<circle cx="8" cy="8" r="5.6" fill="none" stroke="currentcolor" stroke-width="1.5"/><path d="M8 2.4a5.6 5.6 0 0 1 0 11.2z" fill="currentcolor"/>`,
  answered: svg`<circle cx="8" cy="8" r="6.3" fill="currentcolor"/><path d="m5.2 8.2 2 2 3.7-4.2" fill="none" stroke="var(--sunken)" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round"/>`,
};

const COLOURS = {waits: 'wait', running: 'run', retry: 'run', held: 'held', done: 'done', failed: 'fail', half: 'run', answered: 'done', rest: 'ink3', ended: 'ink2', limit: ''};

export const WORDS = {
  waits: 'waits for you', running: 'running', retry: 'tries again', held: 'held', done: 'done',
  rest: 'at rest', limit: 'limit', failed: 'failed', ended: 'ended',
};

/** A state's mark; its word is there for those who hear the page, unless it stands beside it. */
export function mark(state, word = WORDS[state] ?? '') {
  const says = word || nothing;
  return html`<svg class="mark ${COLOURS[state] ?? 'ink2'}" width="16" height="16" viewBox="0 0 16 16" role=${word ? 'img' : nothing} aria-label=${says} aria-hidden=${word ? nothing : 'true'}>${SHAPES[state]}</svg>`;
}

const ICONS = {
  chevron: 'm6 3.5 4.5 4.5L6 12.5', back: 'M10 3.5 5.5 8l4.5 4.5', plus: 'M8 3v10M3 8h10',
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.7 10.7 14 14', edit: 'm3 13 .6-2.8L10.8 3l2.2 2.2-7.2 7.2zM9.3 4.5l2.2 2.2',
  command: 'M1.7 3.5h12.6v9H1.7zM4.2 6.2 6 8l-1.8 1.8M7.5 10h3.5', close: 'm4 4 8 8M12 4l-8 8', leads: 'M5 11 11.5 4.5M6 4.5h5.5V10',
  file: 'M4 1.8h5.2L12.5 5v9.2H4zM9 2v3.2h3.3', folder: 'M1.8 3.5h4l1.4 1.7h7v7.6H1.8z', think: 'M8 1.8a4.2 4.2 0 0 0-2.3 7.7v1.7h4.6V9.5A4.2 4.2 0 0 0 8 1.8zM6.3 13.7h3.4',
  globe: 'M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4zM1.8 8h12.4M8 1.8c4 4 4 8.4 0 12.4M8 1.8c-4 4-4 8.4 0 12.4', talk: 'M2 2.8h12v8.4H7.5L4.5 14v-2.8H2z',
  inbox: 'M2 9.2 4 3h8l2 6.2V13H2zM2 9.2h3.5l1 1.6h3l1-1.6H14', tree: 'M8 2v4M8 6 4 12M8 6l4 6', clock: 'M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4zM8 4.5V8l2.3 1.4',
  branch: 'M4.5 4.5v7M4.5 9c5 0 7-1 7-4.5', shield: 'M8 1.8 13.5 4v4c0 3-2.2 5.3-5.5 6.3C4.7 13.3 2.5 11 2.5 8V4z', more: 'M3.5 8h.01M8 8h.01M12.5 8h.01', up: 'M8 13V3.5M3.8 7.5 8 3.3l4.2 4.2', down: 'M8 3v9.5M3.8 8.5 8 12.7l4.2-4.2', image: 'M2 3h12v10H2zM2 11l3.5-3.5L9 11M8.5 9.5 11 7l3 3M10.5 5.500h.01',
  handle: 'M6 3.5h.01M10 3.5h.01M6 8h.01M10 8h.01M6 12.5h.01M10 12.5h.01', tool: 'M10.5 2.2a3.7 3.7 0 0 0-3.6 5L2 12.1 3.9 14l4.9-4.9a3.7 3.7 0 0 0 4.9-4.5l-2.2 2.2-2-2z', plug: 'M5.5 1.8v3M10.5 1.8v3M3.7 4.8h8.6v3a4.3 4.3 0 0 1-8.6 0zM8 12v2.5', phone: 'M4.5 1.5h7v13h-7zM7 12.5h2',
};

/** A small drawing beside a word; nothing but a word says what it means. */
export function icon(name, extra = '') {
  const dots = name === 'more' || name === 'handle';
  return html`<svg class="icon ${extra}" width="16" height="16" viewBox="0 0 16 16" aria-hidden="true" fill="none" stroke="currentcolor" stroke-width=${dots ? 2 : 1.4} stroke-linecap="round" stroke-linejoin="round">${svg`<path d=${ICONS[name]}/>`}</svg>`;
}

/** The mark of midflight. */
export function logo() {
  return html`<svg class="icon" width="22" height="16" viewBox="0 0 22 16" aria-hidden="true"><path d="M2 14c2.5-6 5.5-8.6 9-8.6s6.5 2.6 9 8.6" fill="none" stroke="currentcolor" stroke-width="2.2" stroke-linecap="round"/><circle cx="11" cy="5" r="2.6" class="wait-disc"/></svg>`;
}
