// A search within the open session, over all of it: where something was said, and the way there.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {live} from '../vendor/lit-html/directives/live.js';
import {ref} from '../vendor/lit-html/directives/ref.js';
import {unfold} from './blocks.js';
import {ask, NoConnection, path} from './http.js';
import {inert} from './inert.js';
import {icon} from './marks.js';
import {showAround, shown, state} from './store.js';
import {note, notes, takeFocus} from './ui.js';

const PAUSE_MS = 250; // after a letter, before it is looked for
const MOST = 1000;

const WHERE = {
  'message.accepted': 'a message', 'message.changed': 'a message', text: 'what the agent says', thinking: 'what it thought',
  'tool.started': 'a call', 'tool.ended': 'what a call put out', notice: 'a notice', 'question.requested': 'a question',
  'question.resolved': 'an answer', 'permission.resolved': 'an answer', 'turn.ended': 'how a turn ended',
};

function mine(id) {
  return notes(`find ${id}`);
}

export function beginFind(summary) {
  note(`find ${summary.id}`, {open: true});
  document.getElementById('find in')?.select();
}

export function endFind(summary) {
  if (!mine(summary.id).open) return false;
  clearMarks();
  note(`find ${summary.id}`, {open: false, text: '', hits: null, problem: ''});
  document.querySelector('.stream')?.focus();
  return true;
}

let pause = null;

function typed(summary, text) {
  note(`find ${summary.id}`, {text});
  clearTimeout(pause);
  pause = setTimeout(() => look(summary), PAUSE_MS);
}

/** Ask the server where it was said; the newest place is shown first. */
async function look(summary) {
  clearTimeout(pause);
  const text = (mine(summary.id).text ?? '').trim();
  note(`find ${summary.id}`, {asked: text, hits: null, problem: ''});
  clearMarks();
  if (!text) return;
  try {
    const {hits, more} = await ask('GET', path(summary.id, `/search?${new URLSearchParams({text, limit: MOST})}`));
    if (mine(summary.id).asked !== text) return;
    note(`find ${summary.id}`, {hits, more, at: 0});
    await reveal(summary);
  } catch (error) {
    note(`find ${summary.id}`, {problem: error instanceof NoConnection ? 'No connection.' : error.message});
  }
}

/** Go to an older hit (1) or a newer one (-1). */
function step(summary, by) {
  const {text = '', asked, hits, at} = mine(summary.id);
  if (text.trim() !== asked) look(summary);
  else if (hits?.length) {
    note(`find ${summary.id}`, {at: (at + by + hits.length) % hits.length});
    reveal(summary).catch((error) => note(`find ${summary.id}`, {problem: error instanceof NoConnection ? 'No connection.' : error.message}));
  }
}

let wanted = null; // the block that is to come into sight, in which one of the stream, and what in it

async function reveal(summary) {
  const {hits, at, asked} = mine(summary.id);
  const hit = hits[at];
  if (!hit) return;
  await showAround(hit.seq);
  if (state.open?.id !== summary.id) return;
  const {conversation} = shown();
  const block = conversation.places.get(hit.seq);
  note(`find ${summary.id}`, {problem: block ? '' : 'It stands in the queue, below.'});
  if (!block) return;
  unfold(conversation, block, hit.type, asked);
  let top = block;
  while (conversation.calls.has(top.parent)) top = conversation.calls.get(top.parent);
  wanted = {id: block.id, top: top.id, text: asked};
}

/** Before a paint: the line of the stream that is to come into sight, or -1. */
export function placeOfHit(lines) {
  return wanted === null ? -1 : lines.findIndex((line) => (line.blocks ?? [line]).some((block) => block.id === wanted.top));
}

/** After a paint: bring the hit into sight that was asked for. Tells whether it did. */
export function bringHit() {
  if (wanted === null) return false;
  const block = document.querySelector(`[data-block="${CSS.escape(wanted.id)}"]`);
  if (!block) return false;
  const {text} = wanted;
  wanted = null;
  clearMarks();
  block.dataset.found = '';
  const ranges = rangesOf(block, text);
  CSS.highlights?.set('found', new Highlight(...ranges));
  if (ranges.length) centre(ranges[0]);
  else block.firstElementChild.scrollIntoView({block: 'center'});
  return true;
}

function clearMarks() {
  CSS.highlights?.delete('found');
  for (const each of document.querySelectorAll('[data-found]')) delete each.dataset.found;
}

/** Where a text stands within an element, whatever elements it goes through. */
function rangesOf(element, text) {
  const nodes = [];
  let whole = '';
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    nodes.push({node: walker.currentNode, from: whole.length});
    whole += walker.currentNode.data;
  }
  const at = (offset) => {
    const {node, from} = nodes.findLast((one) => one.from <= offset);
    return [node, offset - from];
  };
  return [...whole.matchAll(new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), 'giu'))].map((found) => {
    const range = document.createRange();
    range.setStart(...at(found.index));
    range.setEnd(...at(found.index + found[0].length));
    return range;
  });
}

/** Have a range in the middle of all that it scrolls in. */
function centre(range) {
  for (let box = range.startContainer.parentElement; box; box = box.classList.contains('stream') ? null : box.parentElement) {
    if (box.scrollHeight <= box.clientHeight || getComputedStyle(box).overflowY === 'visible') continue;
    const [at, room] = [range.getBoundingClientRect(), box.getBoundingClientRect()];
    box.scrollTop += at.top - room.top - room.height / 2;
  }
}

function says({hits, more, at, asked, problem}) {
  if (problem) return problem;
  if (!asked) return '';
  if (!hits) return 'Searches…';
  if (!hits.length) return 'Nothing found';
  return `${hits.length - at} of ${more ? 'more than ' : ''}${hits.length}`;
}

/** The bar of the search, while it is open. */
export function findBar(summary) {
  const own = mine(summary.id);
  if (!own.open) return nothing;
  const {text = '', hits, at, problem} = own;
  const hit = problem ? null : hits?.[at];
  const keys = (event) => {
    if (event.key === 'Enter' && !event.isComposing) step(summary, event.shiftKey ? -1 : 1);
    else if (event.key === 'Escape') endFind(summary);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const none = !hits?.length;
  return html`<search class="find-bar"><label class="hidden" for="find in">Search in this session</label>
    <input id="find in" type="search" placeholder="Search in this session" autocomplete="off" spellcheck="false" ${ref(takeFocus)} .value=${live(text)} @input=${(event) => typed(summary, event.target.value)} @keydown=${keys}>
    <span class="small ink2 found" role="status">${says(own)}${hit ? html`<span class="hidden">, in ${WHERE[hit.type] ?? 'the session'}: ${inert(hit.excerpt)}</span>` : nothing}</span>
    <button class="quiet square" aria-label="The one before" title="The one before (Enter)" ?disabled=${none} @click=${() => step(summary, 1)}>${icon('up')}</button>
    <button class="quiet square" aria-label="The one after" title="The one after (Shift Enter)" ?disabled=${none} @click=${() => step(summary, -1)}>${icon('down')}</button>
    <button class="quiet square" aria-label="Close the search" title="Close (Esc)" @click=${() => endFind(summary)}>${icon('close')}</button></search>`;
}
