// Where the person reads in a stream: a part of it stands in the page, and nothing jumps under the eye.

import {gathered} from './blocks.js';
import {bringHit, placeOfHit} from './find.js';
import {changed, forgetOlder, loadNewer, loadOlder, showEnd, shown, state} from './store.js';

const NEAR_PX = 60; // who is so near to the end is at the end
const STEP = 12; // so many lines of the stream come and go with a frame

// The lines from `from` to `to` of `lines` stand in the page; `first` is a block in the first of them.
const view = {id: null, part: null, lines: [], from: 0, to: 0, first: null, follow: true, missed: 0, blocks: 0, painted: [], held: []};

function scroller() {
  return document.querySelector('.stream');
}

function blocksOf(line) {
  return line.blocks ?? [line];
}

function move(from, to) {
  const {length} = view.lines;
  Object.assign(view, {from: Math.max(0, Math.min(from, length - 1)), to: Math.min(to, length)});
  view.first = length ? blocksOf(view.lines[view.from]).at(-1).id : null;
}

/** Before a paint: the lines that stand in the page, and what there is besides. */
export function inSight() {
  const part = shown();
  const {conversation} = part;
  view.lines = gathered(conversation.blocks);
  const {length} = view.lines;
  const isSame = view.part !== null && view.id === state.open.id && view.first !== null;
  const at = isSame ? view.lines.findIndex((line) => blocksOf(line).some((block) => block.id === view.first)) : -1;
  if (!isSame || (at < 0 && view.part !== part)) begin(part);
  else {
    const by = at < 0 ? 0 : at - view.from;
    if (by || view.part !== part) view.blocks = conversation.blocks.length; // what is older is no news
    move(view.from + by, view.follow ? length : view.to + by);
  }
  Object.assign(view, {part, id: state.open.id});
  const hit = placeOfHit(view.lines);
  if (hit >= 0 && (hit < view.from || hit >= view.to)) {
    view.follow = false;
    move(hit - STEP, hit + STEP);
  }
  const now = [conversation, view.from, view.to];
  view.held = view.follow || now.every((each, index) => each === view.painted[index]) ? [] : linesInView();
  view.painted = now;
  return {lines: view.lines.slice(view.from, view.to), older: view.from > 0 || part.older, newer: view.to < length || part !== state.open, follow: view.follow, missed: view.missed};
}

function begin(part) {
  const isEnd = part === state.open;
  Object.assign(view, {follow: isEnd, missed: 0, blocks: part.conversation.blocks.length});
  move(isEnd ? view.lines.length - STEP : 0, isEnd ? view.lines.length : STEP);
}

/** What the person sees, with the places where it stands. */
function linesInView() {
  const at = scroller();
  if (!at) return [];
  const {top, bottom} = at.getBoundingClientRect();
  return linesOf(at)
    .map((element) => ({element, box: element.getBoundingClientRect()}))
    .filter(({box}) => box.bottom > top && box.top < bottom);
}

function linesOf(at) {
  const elements = [...at.firstElementChild.children].filter((element) => !element.matches('.center'));
  return elements.map((element) => (element.matches('.block') ? element.firstElementChild : element)).filter(Boolean); // a block has no box
}

/** After a paint: stay at the end if that is where the person is, else where they read. */
export function afterPaint() {
  const at = scroller();
  if (!at || !view.part || view.part !== shown()) return;
  const {length} = view.part.conversation.blocks;
  if (!view.follow && view.part === state.open && length > view.blocks) view.missed += length - view.blocks;
  view.blocks = length;
  const held = view.held.find(({element}) => element.isConnected);
  if (bringHit()) view.follow = false;
  else if (view.follow) at.scrollTop = at.scrollHeight;
  else if (held) at.scrollTop += held.element.getBoundingClientRect().top - held.box.top;
  if (view.follow) forgetOlder();
  if (reach(at)) changed();
}

/** Have lines for a screen above and below what is seen, and let go of those beyond two. */
function reach(at) {
  if (view.from !== view.painted[1] || view.to !== view.painted[2]) return true; // what stands there is not what will
  const room = at.clientHeight;
  const above = at.scrollTop;
  const below = at.scrollHeight - room - above;
  const boxes = linesOf(at).map((element) => element.getBoundingClientRect());
  const farAbove = boxes.slice(1, STEP + 1).filter((box) => above - (box.top - boxes[0].top) > 2 * room).length;
  const farBelow = boxes.slice(-STEP).filter((box) => below - (boxes.at(-1).bottom - box.top) > 2 * room).length;
  const {from, to} = view;
  move(above < room ? from - STEP : from + farAbove, below < room ? to + STEP : to - farBelow);
  return from !== view.from || to !== view.to;
}

export function scrolled(event) {
  const at = event.currentTarget;
  const isNear = at.scrollHeight - at.scrollTop - at.clientHeight < NEAR_PX;
  const follow = isNear && view.part === state.open && view.to === view.lines.length;
  if (follow) view.missed = 0;
  const wasSo = follow === view.follow;
  view.follow = follow;
  if (reach(at) || !wasSo) changed();
  if (view.from === 0 && view.part?.older && at.scrollTop < at.clientHeight) loadOlder();
}

/** Show what was before, which the page has or has to fetch. */
export function showOlder() {
  if (view.from === 0) loadOlder();
  else move(view.from - STEP, view.to);
  changed();
}

/** The same of what came after. */
export function showNewer() {
  if (view.to === view.lines.length) loadNewer();
  else move(view.from, view.to + STEP);
  changed();
}

export function toEnd() {
  view.part = null;
  showEnd();
}
