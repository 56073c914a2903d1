// Nothing moves under the pointer or the key: where requests stand, and which one a key means.

import {moved, UNREAD_MS} from './request.js';
import {changed} from './store.js';

const MOVED_PX = 2;
const places = new Map(); // by request: where its card stood, and how high it was

function topOf(card) {
  const inner = card.closest('.below-stream')?.scrollTop ?? 0;
  return card.getBoundingClientRect().top + window.scrollY + inner;
}

/** After each paint: a card that has moved is new; one that was settled keeps the place that it had. */
export function keepPlaces(isPointed) {
  const there = new Set();
  for (const card of document.querySelectorAll('[data-request]')) {
    const id = card.dataset.request;
    const top = topOf(card);
    const known = places.get(id);
    if (known && Math.abs(known.top - top) > MOVED_PX) moved(id);
    places.set(id, {top, height: card.offsetHeight});
    there.add(id);
  }
  for (const line of document.querySelectorAll('[data-settled]')) {
    const id = line.dataset.settled;
    const known = places.get(id);
    there.add(id);
    if (!known) continue;
    if (known.until === undefined) {
      known.until = Date.now() + UNREAD_MS;
      setTimeout(changed, UNREAD_MS + 10);
    }
    line.style.minHeight = isPointed || Date.now() < known.until ? `${known.height}px` : '';
  }
  for (const id of places.keys()) if (!there.has(id)) places.delete(id);
}

let meantId = '';
let meantSince = 0;

/** Before each paint: note which request a key means, and since when. */
export function noteMeant(id) {
  if (id === meantId) return;
  meantId = id;
  meantSince = Date.now();
}

/** Whether a key means this request for half a second already. */
export function isMeant(id) {
  return id === meantId && Date.now() - meantSince >= UNREAD_MS;
}
